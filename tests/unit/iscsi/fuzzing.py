"""What a fuzzer does to a target: bytes before, during and after a login; its memory stays bounded."""

from __future__ import annotations

from midlayer.iscsi.chap import Credentials
from midlayer.iscsi.errors import IscsiError
from midlayer.iscsi.initiator import InitiatorConnection
from midlayer.iscsi.initiator_login import Wishes
from midlayer.iscsi.target import MAX_IMMEDIATE, WINDOW, TargetConnection
from midlayer.iscsi.target_events import FunctionRequest
from midlayer.iscsi.target_writes import MAX_WAITING_BYTES
from midlayer.iscsi.task import Task

from .wire import INITIATOR, TARGET, Policy, counting_random

MOST_OUTPUT_BYTES = 1 << 22


def target_before_login(*, chap: bool = False) -> TargetConnection:
    """Return a target that nobody has said anything to."""
    accounts = [Credentials("user", b"a secret of the user")] if chap else []
    return TargetConnection(Policy(*accounts), counting_random())


def target_after_login(*, digests: bool = False, discovery: bool = False) -> TargetConnection:
    """Return a target with a session."""
    wanted = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"} if digests else {}
    target = target_before_login()
    initiator = InitiatorConnection(
        Wishes(INITIATOR, "" if discovery else TARGET, wanted=dict(wanted)), counting_random(0x80)
    )
    for piece in initiator.take_output():
        target.reader.feed(piece)
    while target.next_event() is not None:
        pass
    target.take_output()
    return target


def swallow(target: TargetConnection, data: bytes) -> int:
    """Feed bytes; answer every second task at once; return how many events there were.

    Raises:
        AssertionError: If something grows without bounds.
    """
    events = 0
    while data and not target.closed:
        data = data[target.reader.feed(data) :]
        while (event := target.next_event()) is not None:
            events += 1
            if isinstance(event, Task) and events % 2:
                target.respond(event, 0, data=bytes(min(event.expected_bytes, 5000)) if event.read else b"")
            elif isinstance(event, FunctionRequest):
                target.respond_function(event, 0)  # type: ignore[arg-type]
        assert target.output_bytes < MOST_OUTPUT_BYTES
        target.take_output()
        assert len(target.tasks) <= WINDOW + MAX_IMMEDIATE
        assert target._waiting_bytes <= MAX_WAITING_BYTES
        assert len(target._held) <= WINDOW
    return events


def answers_of_a_target(initiator: InitiatorConnection, data: bytes) -> None:
    """Feed an initiator; nothing but the documented errors may come out."""
    try:
        while data and not initiator.closed:
            data = data[initiator.reader.feed(data) :]
            while initiator.next_event() is not None:
                pass
            initiator.take_output()
    except IscsiError:
        assert initiator.closed
