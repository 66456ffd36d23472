"""Capture of a device, and the twin that answers as it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import midlayer
from midlayer.device import Device
from midlayer.errors import CommandError
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.command import Result
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sam import Status
from midlayer.standards.spc import Inquiry
from midlayer.testing import Answer, ScriptedDriver
from midlayer.twin import ALLOCATION_LENGTHS, Twin, parse_twin
from midlayer.upper.sg import BoundDevice
from midlayer.upper.sg.capture import capture

SERIAL = "SECRET-0815"
UNIT = f"size=1M&serial={SERIAL}&naa=5001438012345678&vendor=ACME&product=Array"


@contextmanager
def twin_of(twin: Twin, directory: Path) -> Iterator[Device]:
    path = directory / "twin.json"
    path.write_text(twin.dump())
    with midlayer.open_device(f"virtual:disk?twin={path}") as device:
        yield device


def answer_of(device: BoundDevice, cdb: bytes) -> tuple[int, bytes, bytes]:
    result = device.execute(cdb, data_in=0x1000)
    return result.status, bytes(result.data), result.sense_data


def with_room(key: bytes) -> bytes:
    """Fill in the allocation length that the key of an answer does not have."""
    place = ALLOCATION_LENGTHS.get(key[0])
    if place is None:
        return key
    return key[: place.start] + (0xFC).to_bytes(place.stop - place.start, "big") + key[place.stop :]


@pytest.mark.parametrize("kind", ["disk", "cd", "tape", "enclosure", "changer", "zoned"])
def test_a_twin_answers_as_the_device_did(kind: str, tmp_path: Path) -> None:
    with midlayer.open_device(f"virtual:{kind}?{UNIT}") as device:
        twin = capture(device)
        with twin_of(twin, tmp_path) as other:
            for key in twin.answers:
                if key[0] == Opcode.REPORT_LUNS:
                    continue
                cdb = with_room(key)
                assert answer_of(other, cdb) == answer_of(device, cdb), cdb.hex()
            assert capture(other).answers == twin.answers


@given(page=st.sampled_from([None, 0x00, 0x80, 0x83, 0xB0, 0x3D]), length=st.integers(0, 600))
def test_data_is_cut_as_the_initiator_asks(page: int | None, length: int) -> None:
    cdb = Inquiry(evpd=page is not None, page_code=page or 0, allocation_length=length).encode()
    assert answer_of(_TWIN, cdb) == answer_of(_DEVICE, cdb)


_DEVICE = midlayer.open_device(f"virtual:disk?{UNIT}")


def _make_twin() -> Device:
    spec = UnitSpec(twin=parse_twin(capture(_DEVICE).dump()))
    host = VirtualDriver(Subsystem()).add_host(HostSpec(units=(spec,)))
    return Device(host.devices()[0])


_TWIN = _make_twin()


def test_masked_serials_are_nowhere_and_everything_else_is_as_it_was() -> None:
    plain, twin = capture(_DEVICE), capture(_DEVICE, mask_serials=True)
    whole = b"".join(answer.data for answer in twin.answers.values())
    assert SERIAL.encode() not in whole
    assert bytes.fromhex("12345678") not in whole
    assert bytes.fromhex("50014380") in whole
    assert {key: len(answer.data) for key, answer in twin.answers.items()} == {
        key: len(answer.data) for key, answer in plain.answers.items()
    }
    assert twin.inquiry_data == plain.inquiry_data
    assert (plain.serials, twin.serials) == ("as captured", "masked")
    assert capture(_DEVICE, mask_serials=True) == twin


def test_no_user_data_is_asked_for() -> None:
    sent: set[int] = set()

    class Noting(BoundDevice):
        def execute(self, cdb: bytes, **options: object) -> Result:
            sent.add(cdb[0])
            return super().execute(cdb, **options)  # type: ignore[arg-type]

    with Noting(_DEVICE.logical_unit) as device:
        capture(device)
    assert sent <= {0x00, 0x12, 0x1A, 0x25, 0x4D, 0x5A, 0x9E, 0xA0, 0xA3}


def test_a_device_that_knows_nothing_but_inquiry_has_a_twin(subsystem: Subsystem) -> None:
    driver = ScriptedDriver()
    unit = driver.unit(0, 0, 0)
    refusal = Answer.check(5, 0x20)
    for opcode in (0x1A, 0x25, 0x4D, 0x5A, 0x9E, 0xA3):
        unit.on(opcode, refusal)
    unit.on(0x00, Answer.check(6, 0x29), Answer.check(6, 0x28), Answer.check(2, 0x3A))
    driver.start(subsystem)
    with BoundDevice(subsystem.devices()[0]) as device:
        twin = capture(device)
    assert twin.answers[bytes(6)].sense == Answer.check(2, 0x3A).sense  # the attentions are over
    assert twin.capacity == (0, 0)
    assert twin.supported_opcodes is None
    assert {answer.status for key, answer in twin.answers.items() if key[0] == 0x4D} == {2}


def test_a_device_that_does_not_answer_inquiry_has_none(subsystem: Subsystem) -> None:
    driver = ScriptedDriver()
    unit = driver.unit(0, 0, 0)
    driver.start(subsystem)
    unit.on(Opcode.INQUIRY, Answer(status=Status.BUSY, host_byte=1))
    with BoundDevice(subsystem.devices()[0]) as device, pytest.raises(CommandError):
        capture(device)


@pytest.fixture
def subsystem() -> Subsystem:
    return Subsystem()
