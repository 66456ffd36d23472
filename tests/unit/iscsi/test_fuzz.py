"""Any bytes, and PDUs with any fields, before, during and after the login of either role."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midlayer.iscsi import pdu
from midlayer.iscsi.codes import Opcode
from midlayer.iscsi.initiator import InitiatorConnection
from midlayer.iscsi.initiator_events import InitiatorTask
from midlayer.iscsi.initiator_login import Wishes
from midlayer.iscsi.text import encode

from .fuzzing import answers_of_a_target, swallow, target_after_login, target_before_login
from .wire import INITIATOR, TARGET, Cable, counting_random

KEYS = [("InitiatorName", INITIATOR), ("TargetName", TARGET), ("AuthMethod", "CHAP,None"), ("CHAP_A", "5,7")]


@st.composite
def pdus(draw: st.DrawFn, opcodes: list[int], *, honest: bool = True) -> bytes:
    """A PDU of any fields; `honest` ones have the lengths that they say."""
    layout = pdu.LAYOUTS[draw(st.sampled_from(opcodes))]
    header = bytearray(layout().encode())
    for at in draw(st.lists(st.integers(1, 47), max_size=8)):
        header[at] = draw(st.integers(0, 255))
    header[0] |= draw(st.sampled_from([0, 0x40]))
    header[16:20] = draw(
        st.sampled_from([b"\0\0\0\1", b"\0\0\0\2", b"\xff\xff\xff\xff", bytes(header[16:20])])
    )
    header[24:28] = draw(st.sampled_from([b"\0\0\0\1", b"\0\0\0\2", bytes(header[24:28])]))
    body = draw(
        st.one_of(
            st.just(b""), st.binary(max_size=600), st.lists(st.sampled_from(KEYS), max_size=4).map(encode)
        )
    )
    if honest:
        made = pdu.with_lengths(bytes(header), len(body))
        return made + body + bytes(-len(body) % 4)
    return bytes(header) + body


REQUESTS = [opcode for opcode in Opcode if opcode < 0x20]
RESPONSES = [opcode for opcode in Opcode if opcode >= 0x20]
SEQUENCES: dict[str, Any] = {
    "bytes": st.binary(max_size=400),
    "requests": st.lists(pdus(REQUESTS), max_size=12).map(b"".join),
    "writes": st.lists(pdus([Opcode.SCSI_COMMAND, Opcode.DATA_OUT]), max_size=12).map(b"".join),
    "logins": st.lists(pdus([Opcode.LOGIN]), max_size=6).map(b"".join),
    "lies": st.lists(pdus(REQUESTS, honest=False), max_size=6).map(b"".join),
}


@pytest.mark.parametrize("kind", SEQUENCES)
@settings(max_examples=150)
@given(data=st.data())
def test_a_target_takes_anything(kind: str, data: st.DataObject) -> None:
    stream = data.draw(SEQUENCES[kind])
    swallow(target_before_login(), stream)
    swallow(target_before_login(chap=True), stream)
    swallow(target_after_login(), stream)
    swallow(target_after_login(discovery=True), stream)
    swallow(target_after_login(digests=True), stream)


@settings(max_examples=300)
@given(stream=st.lists(pdus(RESPONSES), max_size=10).map(b"".join), logged_in=st.booleans())
def test_an_initiator_takes_anything(stream: bytes, logged_in: bool) -> None:
    if logged_in:
        cable = Cable().run()
        initiator = cable.initiator
        initiator.submit(InitiatorTask(bytes(8), bytes(10), None, memoryview(bytearray(512))))
        initiator.submit(InitiatorTask(bytes(8), bytes(10), bytes(512)))
    else:
        initiator = InitiatorConnection(Wishes(INITIATOR, TARGET), counting_random())
    answers_of_a_target(initiator, stream)


def test_a_length_that_lies_is_never_waited_for_in_memory() -> None:
    target = target_after_login()
    header = bytearray(pdu.ScsiCommand(final=True, write=True).encode())
    header[5:8] = b"\xff\xff\xff"
    assert swallow(target, bytes(header)) == 1
    assert target.closed
