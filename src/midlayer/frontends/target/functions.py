"""Task management functions (SAM-5 7, RFC 7143 11.5): one table from function to what is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from midlayer.frontends.target import mid_functions
from midlayer.iscsi.codes import Function, FunctionResponse
from midlayer.iscsi.target_events import FunctionRequest
from midlayer.iscsi.task import Task
from midlayer.mid.command import Command

if TYPE_CHECKING:
    from midlayer.frontends.target.session import Session

_Handler = Callable[["Session", FunctionRequest], FunctionResponse]

_COMPLETE = FunctionResponse.COMPLETE
_SINCE_RFC_7144 = Function.QUERY_TASK


def carry_out(session: Session, request: FunctionRequest) -> None:
    """Do what an initiator asks for, and answer."""
    handler = _HANDLERS.get(request.function)
    level = session.iscsi.parameters.number("iSCSIProtocolLevel")
    if handler is None or (request.function >= _SINCE_RFC_7144 and level < 2):
        answer = FunctionResponse.NOT_SUPPORTED
    else:
        answer = handler(session, request)
    with session.lock:
        session.iscsi.respond_function(request, answer)
    if request.function == Function.TARGET_COLD_RESET and answer is _COMPLETE:
        session.flush()
        for other in session.siblings():
            other.dismiss("the target was reset")


def _abort_task(session: Session, request: FunctionRequest) -> FunctionResponse:
    task = session.iscsi.tasks.get(request.referenced_tag)
    if task is not None and task.lun == request.lun:
        return _abort_all(session, [task])
    with session.lock:
        early = session.iscsi.aborted_before_it_came(request.referenced_cmd_sn)
    return _COMPLETE if early else FunctionResponse.NO_SUCH_TASK


def _abort_task_set(session: Session, request: FunctionRequest) -> FunctionResponse:
    if request.lun not in session.luns:
        return FunctionResponse.NO_SUCH_LUN
    return _abort_all(session, _on_lun(session, request.lun))


def _clear_task_set(session: Session, request: FunctionRequest) -> FunctionResponse:
    """As ABORT TASK SET, for the tasks of all initiators."""
    if request.lun not in session.luns:
        return FunctionResponse.NO_SUCH_LUN
    answers = {_abort_all(one, _on_lun(one, request.lun)) for one in session.siblings()}
    return _COMPLETE if answers <= {_COMPLETE} else FunctionResponse.REJECTED


def _reset_unit(session: Session, request: FunctionRequest) -> FunctionResponse:
    exported = session.luns.get(request.lun)
    device = exported.device() if exported is not None else None
    if device is None:
        return FunctionResponse.NO_SUCH_LUN
    cleared = _clear_task_set(session, request)
    return cleared if mid_functions.reset(device, session.nexus) else FunctionResponse.REJECTED


def _reset_target(session: Session, request: FunctionRequest) -> FunctionResponse:
    """Reset every logical unit that the initiator sees."""
    for one in session.siblings():
        _abort_all(one, list(one.iscsi.tasks.values()))
    units = [exported.device() for exported in set(session.luns.values())]
    done = [mid_functions.reset(device, session.nexus) for device in units if device is not None]
    return _COMPLETE if all(done) else FunctionResponse.REJECTED


def _reset_nexus(session: Session, request: FunctionRequest) -> FunctionResponse:
    return _abort_all(session, list(session.iscsi.tasks.values()))


def _query_task(session: Session, request: FunctionRequest) -> FunctionResponse:
    task = session.iscsi.tasks.get(request.referenced_tag)
    there = task is not None and task.lun == request.lun
    return FunctionResponse.SUCCEEDED if there else _COMPLETE


def _query_task_set(session: Session, request: FunctionRequest) -> FunctionResponse:
    if request.lun not in session.luns:
        return FunctionResponse.NO_SUCH_LUN
    return FunctionResponse.SUCCEEDED if _on_lun(session, request.lun) else _COMPLETE


def _reassign(session: Session, request: FunctionRequest) -> FunctionResponse:
    return FunctionResponse.REASSIGNMENT_NOT_SUPPORTED


def _nothing_to_tell(session: Session, request: FunctionRequest) -> FunctionResponse:
    return _COMPLETE


def _on_lun(session: Session, lun: bytes) -> list[Task]:
    return [task for task in list(session.iscsi.tasks.values()) if task.lun == lun]


def _abort_all(session: Session, tasks: Iterable[Task]) -> FunctionResponse:
    """Abort tasks, those that wait for their data included; REJECTED if a device keeps one of them."""
    answer = _COMPLETE
    for task in tasks:
        command = task.owner  # read once: it ends, and is taken away, in threads of its own
        if command is None or _take_back(session, task, command):
            with session.lock:
                session.iscsi.abort(task)
        else:
            answer = FunctionResponse.REJECTED
    return answer


def _take_back(session: Session, task: Task, command: Command) -> bool:
    """Take a task's command from its device, without a response to the initiator."""
    session.aborting.add(task.tag)
    try:
        return mid_functions.abort(command)
    finally:
        session.aborting.discard(task.tag)


_HANDLERS: dict[int, _Handler] = {
    Function.ABORT_TASK: _abort_task,
    Function.ABORT_TASK_SET: _abort_task_set,
    Function.CLEAR_TASK_SET: _clear_task_set,
    Function.LOGICAL_UNIT_RESET: _reset_unit,
    Function.TARGET_WARM_RESET: _reset_target,
    Function.TARGET_COLD_RESET: _reset_target,
    Function.TASK_REASSIGN: _reassign,
    Function.QUERY_TASK: _query_task,
    Function.QUERY_TASK_SET: _query_task_set,
    Function.I_T_NEXUS_RESET: _reset_nexus,
    Function.QUERY_ASYNCHRONOUS_EVENT: _nothing_to_tell,
}
"""CLEAR ACA is not here: no logical unit establishes an ACA condition (NACA is refused)."""
