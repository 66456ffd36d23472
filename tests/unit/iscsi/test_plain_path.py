"""The short ways of nearly all commands do what the long ones do, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midlayer.iscsi import pdu
from midlayer.iscsi.codes import NO_TAG
from midlayer.iscsi.digest import crc32c
from midlayer.iscsi.initiator_login import Wishes
from midlayer.iscsi.target import TargetConnection
from midlayer.iscsi.target_events import TargetEvent
from midlayer.iscsi.task import Task

from . import wire

READ_10, WRITE_16 = bytes.fromhex("28000000000000000800"), bytes((0x8A, *bytes(15)))
VARIABLE = bytes.fromhex("7f00000000000004") + bytes(8)
DIGESTS = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}
STORED = bytes(range(256)) * 64


class Long(TargetConnection):
    """Goes the long way with everything."""

    __slots__ = ()

    def take_events(self) -> list[TargetEvent]:
        events: list[TargetEvent] = []
        while (event := self.next_event()) is not None:
            events.append(event)
        return events

    def respond_good(self, ended: Any) -> None:
        for task, data in ended:
            self.respond(task, 0, b"", data)


def logged_in(kind: type[TargetConnection], wanted: dict[str, Any]) -> Any:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(wire, "TargetConnection", kind)
        return wire.Cable(wishes=Wishes(wire.INITIATOR, wire.TARGET, wanted=wanted)).run().target


@st.composite
def commands(draw: st.DrawFn) -> list[tuple[pdu.ScsiCommand | pdu.NopOut, bytes]]:
    """What an initiator sends: mostly in order and by the rules."""
    found: list[tuple[pdu.ScsiCommand | pdu.NopOut, bytes]] = []
    for number in range(draw(st.integers(1, 12))):
        odd = draw(st.sampled_from(["", "", "", "", "sn", "tag", "immediate", "short", "nop", "no tag"]))
        write = draw(st.booleans())
        length = draw(st.sampled_from([0, 1, 6, 512, 4096, 9000]))
        data = bytes((number + at) & 0xFF for at in range(length)) if write else b""
        if odd == "short":
            data = data[: length // 2]
        if odd == "nop":
            found.append((pdu.NopOut(final=True, initiator_task_tag=number, cmd_sn=number), b"ping"))
            continue
        tags = {"tag": 0, "no tag": NO_TAG}
        header = pdu.ScsiCommand(
            immediate=odd == "immediate",
            final=draw(st.integers(0, 3)) > 0,
            read=not write,
            write=write,
            attribute=draw(st.integers(0, 3)),
            lun=wire.LUN_0,
            initiator_task_tag=tags.get(odd, number),
            expected_data_transfer_length=length,
            cmd_sn=number + (draw(st.integers(-1, 2)) if odd == "sn" else 0) & 0xFFFFFFFF,
            cdb=draw(st.sampled_from([READ_10.ljust(16, b"\0"), WRITE_16, VARIABLE])),
        )
        found.append((header, data))
    return found


def encoded(target: Any, sent: list[tuple[Any, bytes]], *, digests: bool) -> bytes:
    """Return the bytes of PDUs whose numbers begin where the target's do."""
    parts = []
    first = target._exp_cmd_sn
    for header, data in sent:
        raw = bytearray(pdu.with_lengths(header.encode(), len(data)))
        raw[24:28] = ((int.from_bytes(raw[24:28], "big") + first) & 0xFFFFFFFF).to_bytes(4, "big")
        parts.append(bytes(raw) + (crc32c(bytes(raw)) if digests else b""))
        if data:
            padding = bytes(-len(data) % 4)
            parts.append(data + padding + (crc32c(data, padding) if digests else b""))
    return b"".join(parts)


def told(event: TargetEvent) -> Any:
    if not isinstance(event, Task):
        return str(event)
    fields = {name: getattr(event, name) for name in Task.__slots__ if name not in {"bursts", "data_out"}}
    return fields, bytes(event.data_out) if event.data_out is not None else None


def answered(target: Any, sent: bytes, step: int) -> tuple[list[Any], bytes]:
    """Feed a target, respond to all that is whole after each piece, and return what it told and sent."""
    events, output = [], b""
    for piece in wire.pieces(sent, step):
        rest = piece
        while rest and not target.closed:
            rest = rest[target.reader.feed(rest) :]
            came = target.take_events()
            events += map(told, came)
            tasks = [one for one in came if isinstance(one, Task)]
            target.respond_good(
                [(task, STORED[: task.expected_bytes] if task.read else b"") for task in tasks]
            )
            count = target.output_bytes
            piece_out = b"".join(map(bytes, target.take_output()))
            assert len(piece_out) == count
            output += piece_out
    return events, output


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        DIGESTS,
        {"ImmediateData": False},
        {"InitialR2T": True},
        {"FirstBurstLength": 4096},
        {"MaxRecvDataSegmentLength": 1024},
    ],
    ids=[
        "plain",
        "digests",
        "no immediate data",
        "nothing unsolicited",
        "short first burst",
        "short segments",
    ],
)
@given(sent=commands(), step=st.sampled_from([1 << 30, 5000, 49, 7]))
def test_both_ways_are_the_same(wanted: dict[str, Any], sent: list[tuple[Any, bytes]], step: int) -> None:
    short, long = (logged_in(kind, wanted) for kind in (TargetConnection, Long))
    raw = encoded(short, sent, digests=wanted is DIGESTS)
    assert answered(short, raw, step) == answered(long, raw, step)
    assert short.state is long.state
    assert short.tasks.keys() == long.tasks.keys()
