"""EXTENDED COPY(LID1) and RECEIVE COPY RESULTS (SPC-4 5.16)."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.standards import extended_copy as xcopy

Initiators = Callable[[LogicalUnit], Any]


def target(asker: Any, **fields: Any) -> xcopy.IdentificationCscd:
    naa = bytes.fromhex(asker.device.hostdata.spec.naa)
    keys = {"code_set": 1, "designator_type": 3, "designator_length": len(naa), "designator_field": naa}
    return xcopy.IdentificationCscd(**{**keys, **fields})


def segment(source: int, destination: int, blocks: int, from_: int, to: int, **fields: bool) -> Any:
    return xcopy.BlockToBlockSegment(
        source_cscd=source,
        destination_cscd=destination,
        block_device_number_of_blocks=blocks,
        source_logical_block_address=from_,
        destination_logical_block_address=to,
        **fields,
    )


def copy(targets: list[Any], segments: list[Any], **fields: int) -> tuple[bytes, bytes]:
    body = b"".join(one.encode() for one in (*targets, *segments))
    header = xcopy.ParameterListHeader(
        list_identifier=7,
        cscd_descriptor_list_length=32 * len(targets),
        segment_descriptor_list_length=28 * len(segments),
        **fields,
    )
    data = header.encode() + body
    return xcopy.ExtendedCopy(parameter_list_length=len(data)).encode(), data


def results(asker: Any, action: int, list_id: int = 7) -> Any:
    cdb = xcopy.ReceiveCopyResults(
        service_action=action, list_identifier=list_id, allocation_length=252
    ).encode()
    return asker(cdb, data_in=252)


@pytest.fixture
def pair(subsystem: Subsystem, virtual: VirtualDriver, initiators: Initiators) -> tuple[Any, Any]:
    """Two disks on different hosts, with blocks of different sizes."""
    virtual.add_host(HostSpec(units=(UnitSpec(size=65536),)))
    virtual.add_host(HostSpec(units=(UnitSpec(size=65536, block_size=4096),)))
    first, second = (initiators(device)[0] for device in subsystem.devices())
    first("2a000000000000008000", bytes(range(256)) * 256)
    return first, second


def test_copy_between_hosts(pair: tuple[Any, Any]) -> None:
    first, second = pair
    both = [target(first), target(second, disk_block_length=4096)]
    segments = [segment(0, 1, 16, 8, 3), segment(1, 0, 1, 3, 0), segment(0, 1, 2, 0, 14, dc=True)]
    assert first.code(*copy(both, segments)) == "ok"
    assert bytes(second("28000000000300000200", data_in=8192).data) == bytes(range(256)) * 32
    status = bytes(results(first, 0).data)
    assert status.hex() == "00000008" + "010003" + "00" + f"{8192 + 4096 + 8192:08x}"
    assert results(first, 0, list_id=8).sense.code == "5/24/00"
    assert results(first, 4).sense.code == "5/24/00"  # nothing has failed


def test_operating_parameters(pair: tuple[Any, Any]) -> None:
    data = bytes(results(pair[0], 3).data)
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert (data[43], data[44:].hex()) == (2, "02e4")


def test_a_segment_that_fails(pair: tuple[Any, Any]) -> None:
    first, second = pair
    both = [target(first), target(second)]
    refused = first(*copy(both, [segment(0, 1, 8, 0, 0), segment(0, 1, 8, 121, 0)]))
    assert (refused.sense.code, refused.sense.command_specific) == ("a/00/00", 1)
    assert bytes(results(first, 0).data)[4:7].hex() == "020001"
    details = bytes(results(first, 4).data)
    assert (details[56], details[60] & 0x7F) == (2, 0x70)


@pytest.mark.parametrize("broken", ["source", "destination"])
def test_a_medium_that_fails(pair: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    first, second = pair

    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "it is broken")

    medium = (first if broken == "source" else second).device.hostdata.medium
    monkeypatch.setattr(medium, "read_into" if broken == "source" else "write", fail)
    refused = first(*copy([target(first), target(second)], [segment(0, 1, 8, 0, 0)]))
    assert (refused.sense.code, refused.sense.command_specific) == ("a/0d/01", 0)
    assert bytes(results(first, 0).data)[4:7].hex() == "020000"  # and the initiator can ask for it


def test_results_are_for_one_initiator_and_told_once(pair: tuple[Any, Any], initiators: Initiators) -> None:
    first, second = pair
    alice, bob, _ = initiators(first.device)
    both = [target(first), target(second)]
    for asker in (alice, bob):
        asker(*copy(both, [segment(0, 1, 8, 121, 0)]))
    assert [results(alice, action).status == 0 for action in (0, 0, 4, 4)] == [True, False, True, False]
    first.device.hostdata.nexus_lost(alice.nexus)
    assert results(bob, 0).status == 0
    first.device.hostdata.reset()
    assert bob.code("000000000000") == "6/29/03"
    assert results(bob, 4).sense.code == "5/24/00"


@pytest.mark.parametrize("case", ["no unit", "no index", "granularity", "block length"])
def test_copies_that_can_not_be(pair: tuple[Any, Any], case: str) -> None:
    first, second = pair
    both = [target(first), target(second)]
    what = segment(0, 1, 8, 0, 0)
    said = "a/0d/02"
    if case == "no unit":
        both[1] = target(second, designator_field=bytes(8))
    elif case == "no index":
        what = segment(0, 2, 8, 0, 0)
    elif case == "granularity":
        what, said = segment(0, 1, 7, 0, 0), "a/26/0a"
    else:
        both[1], said = target(second, disk_block_length=512), "a/26/00"
    assert first.code(*copy(both, [what])) == said


def test_lists_that_are_refused(pair: tuple[Any, Any]) -> None:
    first, second = pair
    one = [target(first)]
    assert first.code(*copy(one * 17, [])) == "5/26/06"
    assert first.code(*copy(one, [segment(0, 0, 1, 0, 1)] * 17)) == "5/26/08"
    cdb, data = copy(one, [])
    assert first.code(cdb, data[:16] + b"\xe0" + data[17:]) == "5/26/07"
    cdb, data = copy(one, [segment(0, 0, 1, 0, 1)])
    assert first.code(cdb, data[:48] + b"\x01" + data[49:]) == "5/26/09"
    assert first.code(xcopy.ExtendedCopy(parameter_list_length=8).encode(), bytes(8)) == "5/1a/00"
    assert first.code(xcopy.ExtendedCopy().encode()) == "ok"
    assert second.code("2a00000000000000" + "0100", bytes(4096)) == "ok"


def test_a_copy_may_do_no_more_than_its_initiator(pair: tuple[Any, Any], initiators: Initiators) -> None:
    first, second = pair
    _, bob, _ = initiators(second.device)
    assert bob.code("160000000000") == "ok"
    both = [target(first), target(second)]
    assert first.code(*copy(both, [segment(0, 1, 8, 0, 0)])) == "conflict"
    bob("170000000000")
    bob("1b0000000000")  # STOP
    assert first.code(*copy(both, [segment(0, 1, 8, 0, 0)])) == "a/04/02"
