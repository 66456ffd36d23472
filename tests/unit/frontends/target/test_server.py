"""The server on real sockets: data, masks, read-only exports, sessions, portals."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from midlayer.errors import DaemonError, InvalidRequest
from midlayer.frontends.target import server as server_module
from midlayer.frontends.target.session import LOGIN_S, PING_S, Session
from midlayer.iscsi.chap import Credentials
from midlayer.iscsi.codes import AsyncEvent, Function, FunctionResponse, LoginStatus, TaskAttribute
from midlayer.iscsi.errors import AuthenticationError, LoginError
from midlayer.iscsi.initiator_events import (
    FunctionAnswered,
    InitiatorTask,
    MessageCame,
    TaskEnded,
    TextAnswered,
)
from midlayer.iscsi.initiator_login import Wishes
from midlayer.mid.logical_unit import DeviceState
from midlayer.testing.scripted import Answer, ScriptedDriver

from .conftest import Serving
from .initiator import INITIATOR, LUN_0, SOON_S, TARGET, Initiator, lun

CHECK_CONDITION = 2
INQUIRY = bytes.fromhex("120000002400")
REPORT_LUNS = bytes.fromhex("a00000000000000010000000")
LUN_NOT_SUPPORTED = (5, 0x25, 0)
OTHER = "iqn.2026-11.io.example:other"
BLOCKS = bytes(index * 7 & 0xFF for index in range(512)) * 300


def sense(task: InitiatorTask) -> tuple[int, int, int]:
    """Return sense key, ASC and ASCQ of a task that ended with CHECK CONDITION."""
    assert task.status == CHECK_CONDITION
    return task.sense[2] & 15, task.sense[12], task.sense[13]


def named(name: str) -> Wishes:
    return Wishes(name, TARGET)


def reported(initiator: Initiator) -> list[int]:
    task = initiator.run(REPORT_LUNS, length=4096)
    assert task.status == 0
    assert task.data_in is not None
    entries = bytes(task.data_in[8 : task.received_bytes])
    return [int.from_bytes(entries[at : at + 2], "big") for at in range(0, len(entries), 8)]


@pytest.mark.parametrize("digests", [{}, {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}])
@pytest.mark.parametrize("r2t", [False, True])
@pytest.mark.parametrize("blocks", [1, 8, 300])
def test_what_is_written_is_read(serving: Serving, digests: dict[str, str], r2t: bool, blocks: int) -> None:
    wishes = Wishes(INITIATOR, TARGET, wanted={"InitialR2T": r2t, **digests})
    initiator = serving.connect(serving.add(), wishes)
    assert initiator.write(5, BLOCKS[: blocks * 512]).status == 0
    assert initiator.read(5, blocks) == BLOCKS[: blocks * 512]
    assert initiator.read(5, blocks, on=lun(1)) == bytes(blocks * 512)


def test_the_nexus_is_the_initiator_port(serving: Serving) -> None:
    initiator = serving.connect(serving.add())
    (session,) = serving.server.sessions(TARGET)
    assert session.nexus.initiator_port == initiator.name
    assert initiator.name.encode() in session.nexus.transport_id


def test_residuals_both_ways(serving: Serving) -> None:
    initiator = serving.connect(serving.add())
    read = initiator.run(bytes.fromhex("28000000000000000100"), length=4096)
    assert (read.status, read.residual, read.received_bytes) == (0, 3584, 512)
    read = initiator.run(bytes.fromhex("28000000000000000800"), length=700)
    assert (read.status, read.residual, read.received_bytes) == (0, 700 - 4096, 700)
    read = initiator.run(bytes.fromhex("28000000000000000200"), length=512)
    assert (read.status, read.residual, read.received_bytes) == (0, -512, 512)
    write = initiator.run(bytes.fromhex("2a000000000000000200"), data_out=b"w" * 700)
    assert (write.status, write.residual) == (0, 700 - 1024)
    assert initiator.read(0, 2) == b"w" * 512 + bytes(512), "only the block that was there whole"
    inquiry = initiator.run(INQUIRY, length=100)
    assert (inquiry.residual, inquiry.received_bytes) == (64, 36)


@pytest.mark.parametrize(
    "cdb", ["41000000000000000100", "9308" + "00" * 11 + "010000", "89" + "00" * 12 + "010000"]
)
def test_more_data_than_makes_sense(serving: Serving, cdb: str) -> None:
    initiator = serving.connect(serving.add())
    refused = initiator.run(bytes.fromhex(cdb), data_out=b"x" * 2048)
    assert (sense(refused), refused.residual) == ((5, 0x24, 0), 2048)
    assert initiator.read(0, 4) == bytes(2048)


def test_a_lun_that_is_not_there(serving: Serving) -> None:
    initiator = serving.connect(serving.add())
    task = initiator.run(INQUIRY, on=lun(9), length=36)
    assert task.data_in is not None
    assert (task.status, task.data_in[0]) == (0, 0x7F)
    assert sense(initiator.run(bytes(6), on=lun(9))) == LUN_NOT_SUPPORTED
    request_sense = initiator.run(bytes.fromhex("030000001200"), on=lun(9), length=18)
    assert request_sense.data_in is not None
    assert request_sense.data_in[12] == 0x25
    assert sense(initiator.write(0, BLOCKS[:512], on=lun(9))) == LUN_NOT_SUPPORTED


def test_luns_in_flat_form_and_well_known(serving: Serving) -> None:
    initiator = serving.connect(serving.add())
    assert initiator.run(bytes(6), on=b"\x40\x01" + bytes(6)).status == 0
    assert initiator.run(REPORT_LUNS, on=b"\xc1\x01" + bytes(6), length=64).status == 0
    assert sense(initiator.run(bytes(6), on=b"\x00\x01\x00\x01" + bytes(4))) == LUN_NOT_SUPPORTED


def test_masking(serving: Serving) -> None:
    luns = [
        {"lun": 0, "device": "0:0:0:0"},
        {"lun": 5, "device": "0:0:0:1", "initiators": [OTHER]},
    ]
    port = serving.add(lun=luns)
    one, other = serving.connect(port, named(INITIATOR)), serving.connect(port, named(OTHER))
    assert (reported(one), reported(other)) == ([0], [0, 5])
    assert sense(one.run(bytes(6), on=lun(5))) == LUN_NOT_SUPPORTED
    assert sense(one.run(bytes(6), on=b"\x40\x05" + bytes(6))) == LUN_NOT_SUPPORTED
    assert other.run(bytes(6), on=lun(5)).status == 0
    masked, missing = (one.run(INQUIRY, on=lun(number), length=36) for number in (5, 6))
    assert masked.data_in is not None
    assert missing.data_in is not None
    assert bytes(masked.data_in) == bytes(missing.data_in), "nobody learns that it is there"


def test_lun_0_may_be_missing(serving: Serving) -> None:
    initiator = serving.connect(serving.add(lun=[{"lun": 3, "device": "0:0:0:0"}]))
    assert reported(initiator) == [3]
    assert sense(initiator.run(bytes(6))) == LUN_NOT_SUPPORTED


def test_read_only_exports(serving: Serving) -> None:
    initiator = serving.connect(serving.add(lun=[{"lun": 0, "device": "0:0:0:0", "read_only": True}]))
    assert sense(initiator.write(0, BLOCKS[:512])) == (7, 0x27, 0)
    unmap = initiator.run(bytes.fromhex("42000000000000001800"), data_out=bytes(24))
    assert sense(unmap) == (7, 0x27, 0)
    assert initiator.read(0, 1) == bytes(512)
    mode = initiator.run(bytes.fromhex("1a003f00ff00"), length=255)
    assert mode.data_in is not None
    assert mode.data_in[2] & 0x80


def test_a_read_only_tape_can_be_wound_and_read(serving: Serving) -> None:
    from midlayer.lower.virtual import UnitSpec
    from midlayer.upper.sg import execute

    tape = serving.driver.plug(serving.host, UnitSpec(lun=2, type=1, size=1 << 20))
    assert execute(tape, bytes.fromhex("0a0000000500"), data_out=b"hello").ok
    initiator = serving.connect(serving.add(lun=[{"lun": 0, "device": "0:0:0:2", "read_only": True}]))
    for write in ("100000000100", "190000000000", "0a0000000000"):
        assert sense(initiator.run(bytes.fromhex(write))) == (7, 0x27, 0)
    assert initiator.run(bytes.fromhex("010000000000")).status == 0
    read = initiator.run(bytes.fromhex("080000000500"), length=5)
    assert read.data_in is not None
    assert bytes(read.data_in) == b"hello"


def test_a_device_that_goes_and_comes_back(serving: Serving) -> None:
    from midlayer.lower.virtual import UnitSpec

    initiator = serving.connect(serving.add())
    serving.driver.unplug(serving.find("0:0:0:1"))
    assert sense(initiator.run(bytes(6), on=lun(1))) == LUN_NOT_SUPPORTED
    assert reported(initiator) == [0]
    serving.driver.plug(serving.host, UnitSpec(lun=1, size=1 << 20))
    assert initiator.run(bytes(6), on=lun(1)).status == 0


def test_an_offline_device(serving: Serving) -> None:
    initiator = serving.connect(serving.add())
    serving.subsystem.set_device_state(serving.find("0:0:0:0"), DeviceState.OFFLINE)
    assert sense(initiator.run(bytes(6))) == LUN_NOT_SUPPORTED


@pytest.mark.parametrize("attribute", [TaskAttribute.ORDERED, TaskAttribute.HEAD_OF_QUEUE])
def test_a_read_before_a_write_that_keeps_order_has_what_was_there(
    serving: Serving, attribute: TaskAttribute
) -> None:
    initiator = serving.connect(serving.add())
    before = bytes(16384)
    for number in range(1, 20):
        after = bytes([number]) * 16384
        read = InitiatorTask(LUN_0, bytes.fromhex("28000000000000002000"), None, memoryview(bytearray(16384)))
        write = InitiatorTask(LUN_0, bytes.fromhex("2a000000000000002000"), after, None, attribute)
        initiator.iscsi.submit(read)
        initiator.iscsi.submit(write)
        initiator.socket.sendall(b"".join(map(bytes, initiator.iscsi.take_output())))  # at once
        for _ in range(2):
            initiator.until(lambda event: isinstance(event, TaskEnded))
        assert (read.status, write.status) == (0, 0)
        assert bytes(read.data_in or b"") == before
        before = after


def test_commands_that_end_later_in_any_order(serving: Serving) -> None:
    driver = ScriptedDriver()
    driver.unit(0, 0, 0).on(0x28, *(Answer(later=True) for _ in range(3)))
    host = driver.start(serving.subsystem)
    serving.subsystem.adjust_queue_depth(host.devices()[0], 8)
    initiator = serving.connect(serving.add(lun=[{"device": f"{host.host_no}:0:0:0"}]))
    tasks = [
        InitiatorTask(LUN_0, bytes.fromhex("28000000000000000100"), None, memoryview(bytearray(512)))
        for _ in range(3)
    ]
    for task in tasks:
        initiator.iscsi.submit(task)
    initiator.send()
    serving.eventually(lambda: len(driver.pending) == 3)
    for number, pending in reversed(list(enumerate(driver.pending))):
        pending.complete(Answer(data=bytes([number]) * 512))
    ended = [initiator.until(lambda event: isinstance(event, TaskEnded)) for _ in range(3)]
    assert [event.task for event in ended if isinstance(event, TaskEnded)] == tasks[::-1]
    assert [bytes(task.data_in or b"")[0] for task in tasks] == [0, 1, 2]


def test_chap_both_ways(serving: Serving, secret: Callable[[str, str], str]) -> None:
    port = serving.add(
        account=[{"name": "user", "secret_file": secret("user", "secret of the user")}],
        mutual={"name": "target", "secret_file": secret("target", "secret of the target")},
    )
    user = Credentials("user", b"secret of the user")
    wishes = Wishes(
        INITIATOR, TARGET, account=user, target_account=Credentials("target", b"secret of the target")
    )
    assert serving.connect(port, wishes).run(bytes(6)).status == 0
    with pytest.raises(AuthenticationError):
        serving.connect(port, Wishes(INITIATOR, TARGET, account=Credentials("user", b"another secret")))
    with pytest.raises(AuthenticationError):
        serving.connect(port)


def test_who_is_not_named_can_not_see_the_target(serving: Serving) -> None:
    port = serving.add(initiators=[OTHER])
    assert serving.connect(port, named(OTHER)).run(bytes(6)).status == 0
    answers = []
    for wishes in (named(INITIATOR), Wishes(INITIATOR, TARGET + ".nowhere")):
        with pytest.raises(LoginError) as caught:
            serving.connect(port, wishes)
        answers.append((caught.value.status, str(caught.value)))
    assert answers[0] == answers[1], "as if it did not exist"
    assert answers[0][0] is LoginStatus.NOT_FOUND
    discovery = serving.connect(port, Wishes(INITIATOR))
    discovery.iscsi.send_targets()
    event = discovery.until(lambda event: isinstance(event, TextAnswered))
    assert isinstance(event, TextAnswered)
    assert event.pairs == []


def test_discovery_names_the_portals_that_are_real(serving: Serving) -> None:
    port = serving.add(portals=["127.0.0.1:0", "[::1]:0"])
    discovery = serving.connect(port, Wishes(INITIATOR))
    discovery.iscsi.send_targets()
    event = discovery.until(lambda event: isinstance(event, TextAnswered))
    assert isinstance(event, TextAnswered)
    first, second = serving.server.portals(TARGET)
    assert event.pairs == [
        ("TargetName", TARGET),
        ("TargetAddress", f"127.0.0.1:{first.port},1"),
        ("TargetAddress", f"[::1]:{second.port},1"),
    ]
    assert serving.connect(second.port, host="::1").run(bytes(6)).status == 0


def test_a_target_is_reached_through_its_own_portals_only(serving: Serving) -> None:
    port = serving.add()
    other_port = serving.add(OTHER, portals=["[::1]:0"])
    assert serving.connect(other_port, Wishes(INITIATOR, OTHER), host="::1").run(bytes(6)).status == 0
    with pytest.raises(LoginError):
        serving.connect(port, Wishes(INITIATOR, OTHER))


def test_many_sessions_of_many_initiators(serving: Serving) -> None:
    port = serving.add()
    initiators = [serving.connect(port) for _ in range(3)] + [serving.connect(port, named(OTHER))]
    for number, initiator in enumerate(initiators):
        initiator.write(number, bytes([number]) * 512)
    for initiator in initiators:
        assert initiator.read(0, 4) == b"".join(bytes([number]) * 512 for number in range(4))
    numbers = {session.iscsi.identity.tsih for session in serving.server.sessions(TARGET)}
    assert len(numbers) == 4


def test_the_same_port_again_ends_the_older_session(serving: Serving) -> None:
    port = serving.add()
    wishes = named(INITIATOR)
    older, newer = serving.connect(port, wishes), serving.connect(port, wishes)
    assert older.ended()
    assert newer.run(bytes(6)).status == 0
    assert len(serving.server.sessions(TARGET)) == 1


def test_logout(serving: Serving) -> None:
    initiator = serving.connect(serving.add())
    initiator.iscsi.logout()
    initiator.send()
    assert initiator.ended()
    serving.eventually(lambda: not serving.server.sessions())


def test_drop_change_and_remove(serving: Serving) -> None:
    port = serving.add()
    one, other = serving.connect(port), serving.connect(port, named(OTHER))
    number = one.iscsi.identity.tsih
    serving.server.drop(number)
    assert one.ended()
    serving.eventually(lambda: len(serving.server.sessions()) == 1)
    with pytest.raises(InvalidRequest, match="there is none"):
        serving.server.drop(number)
    serving.server.change(serving.server.spec(TARGET).with_access((INITIATOR,), ()))
    assert other.ended()
    back = serving.connect(port)
    serving.server.remove(TARGET)
    assert back.ended()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with pytest.raises(InvalidRequest, match="no such target"):
        serving.server.remove(TARGET)


def test_a_session_that_has_ended_is_not_dropped_while_its_thread_is_at_work(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving, goes_on, leave = threading.Event(), threading.Event(), Session._leave

    def leave_slowly(session: Session) -> None:
        leaving.set()
        assert goes_on.wait(SOON_S)
        leave(session)

    monkeypatch.setattr(Session, "_leave", leave_slowly)
    number = serving.connect(serving.add()).iscsi.identity.tsih
    serving.server.drop(number)
    assert leaving.wait(SOON_S)
    try:
        assert serving.server.sessions() == []
        with pytest.raises(InvalidRequest, match="there is none"):
            serving.server.drop(number)
    finally:
        goes_on.set()


def test_a_port_that_is_taken(serving: Serving) -> None:
    port = serving.add()
    with pytest.raises(DaemonError, match="Address already in use"):
        serving.add(OTHER, portals=["127.0.0.2:0", f"127.0.0.1:{port}"], initiators=[OTHER])
    assert serving.server.target_names() == [TARGET]
    assert sum(thread.name == "midlayer-portal" for thread in threading.enumerate()) == 1
    serving.add(OTHER)


def test_a_login_that_takes_too_long(serving: Serving) -> None:
    with socket.create_connection(("127.0.0.1", serving.add())) as silent:
        silent.send(b"\x43")
        serving.eventually(lambda: LOGIN_S in serving.clock.pending())
        serving.clock.advance(LOGIN_S)
        assert silent.recv(1) == b""


def test_an_initiator_that_says_nothing_is_asked_and_then_dropped(serving: Serving) -> None:
    initiator = serving.connect(serving.add())
    (session,) = serving.server.sessions()
    serving.eventually(lambda: not session.lock.locked())
    serving.clock.advance(PING_S)
    serving.clock.advance(PING_S)
    assert session.iscsi.pings == 1
    assert initiator.run(bytes(6)).status == 0, "it answers the ping on the way"
    serving.eventually(lambda: session.iscsi.pings == 0 and not session.lock.locked())
    serving.clock.advance(PING_S)
    serving.clock.advance(PING_S)
    serving.clock.advance(PING_S)
    assert initiator.ended()


def answer_to(initiator: Initiator, function: int, **given: object) -> int:
    tag = initiator.iscsi.manage(function, **given)  # type: ignore[arg-type]
    event = initiator.until(lambda event: isinstance(event, FunctionAnswered) and event.tag == tag)
    assert isinstance(event, FunctionAnswered)
    return event.response


@pytest.mark.parametrize("how", ["drop", "remove", "stop", "change"])
def test_an_initiator_is_told_before_it_is_dropped(serving: Serving, how: str) -> None:
    initiator = serving.connect(serving.add())
    (session,) = serving.server.sessions()
    serving.eventually(lambda: not session.lock.locked())
    if how == "drop":
        serving.server.drop(session.iscsi.identity.tsih)
    elif how == "remove":
        serving.server.remove(TARGET)
    elif how == "stop":
        serving.server.stop()
    else:
        serving.server.change(serving.server.spec(TARGET).with_access((OTHER,), ()))
    event = initiator.until(lambda event: isinstance(event, MessageCame))
    assert isinstance(event, MessageCame)
    assert (event.event, event.parameters) == (AsyncEvent.DROP_ALL_CONNECTIONS, (0, 0, 0))
    assert initiator.ended()


def test_a_session_is_told_of_the_end_however_slow_the_portals_thread_is(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = threading.Event()
    close = server_module._close

    class Slow(threading.Thread):
        def start(self) -> None:
            super().start()
            if self.name == "midlayer-iscsi":
                stopping.wait(SOON_S)

    def close_slowly(listeners: list[Any]) -> None:
        stopping.set()
        close(listeners)

    monkeypatch.setattr(threading, "Thread", Slow)
    monkeypatch.setattr(server_module, "_close", close_slowly)
    initiator = serving.connect(serving.add())
    (session,) = serving.server.sessions()
    serving.eventually(lambda: not session.lock.locked())
    serving.server.stop()
    assert isinstance(initiator.until(lambda event: isinstance(event, MessageCame)), MessageCame)


def test_functions(serving: Serving) -> None:
    initiator = serving.connect(serving.add())
    done = InitiatorTask(LUN_0, bytes(6))
    initiator.iscsi.submit(done)
    initiator.until(lambda event: isinstance(event, TaskEnded))
    assert answer_to(initiator, Function.ABORT_TASK, task=done) == FunctionResponse.NO_SUCH_TASK
    assert answer_to(initiator, Function.ABORT_TASK_SET) == FunctionResponse.COMPLETE
    assert answer_to(initiator, Function.ABORT_TASK_SET, lun=lun(9)) == FunctionResponse.NO_SUCH_LUN
    assert answer_to(initiator, Function.CLEAR_TASK_SET) == FunctionResponse.COMPLETE
    assert answer_to(initiator, Function.CLEAR_ACA) == FunctionResponse.NOT_SUPPORTED
    assert answer_to(initiator, Function.LOGICAL_UNIT_RESET, lun=lun(9)) == FunctionResponse.NO_SUCH_LUN
    assert answer_to(initiator, Function.TASK_REASSIGN) == FunctionResponse.REASSIGNMENT_NOT_SUPPORTED
    assert answer_to(initiator, Function.QUERY_TASK_SET) == FunctionResponse.COMPLETE
    assert answer_to(initiator, Function.QUERY_ASYNCHRONOUS_EVENT) == FunctionResponse.COMPLETE
    assert answer_to(initiator, Function.I_T_NEXUS_RESET) == FunctionResponse.COMPLETE
    assert answer_to(initiator, 99) == FunctionResponse.NOT_SUPPORTED


def test_functions_of_rfc_7144_need_its_level(serving: Serving) -> None:
    wishes = Wishes(INITIATOR, TARGET, wanted={"iSCSIProtocolLevel": 1})
    initiator = serving.connect(serving.add(), wishes)
    assert answer_to(initiator, Function.QUERY_TASK_SET) == FunctionResponse.NOT_SUPPORTED


def test_abort_of_a_write_that_waits_for_its_data(serving: Serving) -> None:
    wishes = Wishes(INITIATOR, TARGET, wanted={"InitialR2T": True, "ImmediateData": False})
    initiator = serving.connect(serving.add(), wishes)
    task = InitiatorTask(LUN_0, bytes.fromhex("2a000000000000000100"), BLOCKS[:512])
    initiator.iscsi.submit(task)
    initiator.send()  # the R2T that comes is not read: no data goes
    assert answer_to_raw(initiator, task) == FunctionResponse.COMPLETE
    assert initiator.read(0, 1) == bytes(512)


def answer_to_raw(initiator: Initiator, task: InitiatorTask) -> int:
    """Abort a task and forget it first, so that its R2T finds nobody."""
    tag = initiator.iscsi.manage(Function.ABORT_TASK, task=task)
    initiator.iscsi.forget(task)
    event = initiator.until(lambda event: isinstance(event, FunctionAnswered) and event.tag == tag)
    assert isinstance(event, FunctionAnswered)
    return event.response
