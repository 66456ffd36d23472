"""EXTENDED COPY through a target."""

from __future__ import annotations

import pytest

from midlayer.standards import extended_copy as xcopy

from .conftest import Serving

LUNS = [{"lun": 0, "device": "0:0:0:0"}, {"lun": 1, "device": "0:0:0:1"}]
BLOCK = b"\x5a" * 512


def naa_of(serving: Serving, lun: int) -> bytes:
    naa: str = serving.find(f"0:0:0:{lun}").hostdata.spec.naa
    return bytes.fromhex(naa)


def copy(
    source: bytes, destination: bytes, *, cscd: int = 0xE4, segment: int = 2, action: int = 0
) -> tuple[bytes, bytes]:
    """Return a copy of one block from LBA 0 to LBA 9."""
    targets = bytearray(
        b"".join(
            xcopy.IdentificationCscd(
                code_set=1,
                designator_type=3,
                designator_length=len(naa),
                designator_field=naa.ljust(20, b"\0"),
            ).encode()
            for naa in (source, destination)
        )
    )
    targets[0] = cscd
    one = bytearray(
        xcopy.BlockToBlockSegment(
            source_cscd=0,
            destination_cscd=1,
            block_device_number_of_blocks=1,
            destination_logical_block_address=9,
        ).encode()
    )
    one[0] = segment
    header = xcopy.ParameterListHeader(
        cscd_descriptor_list_length=len(targets), segment_descriptor_list_length=len(one)
    )
    data = header.encode() + bytes(targets) + bytes(one)
    cdb = bytearray(xcopy.ExtendedCopy(parameter_list_length=len(data)).encode())
    cdb[1] |= action
    return bytes(cdb), data


@pytest.mark.parametrize(
    ("luns", "more", "said"),
    [
        (LUNS, {}, None),
        (LUNS[:1], {}, (0xA, 0x0D, 2)),
        ([LUNS[0], {**LUNS[1], "initiators": ["iqn.2026-11.io.example:nobody"]}], {}, (0xA, 0x0D, 2)),
        ([LUNS[0], {**LUNS[1], "read_only": True}], {}, (0xA, 0x27, 0)),
        (LUNS, {"cscd": 0xE0}, (5, 0x26, 7)),
        (LUNS, {"segment": 0x0B}, (5, 0x26, 9)),
        (LUNS, {"action": 1}, (5, 0x24, 0)),
    ],
)
def test_a_copy_reaches_what_its_initiator_sees(
    serving: Serving, luns: list[dict[str, object]], more: dict[str, int], said: tuple[int, int, int] | None
) -> None:
    initiator = serving.connect(serving.add(lun=luns))
    initiator.write(0, BLOCK)
    cdb, data = copy(naa_of(serving, 0), naa_of(serving, 1), **more)
    task = initiator.run(cdb, data_out=data)
    stored = bytearray(512)
    serving.find("0:0:0:1").hostdata.medium.read_into(9 * 512, memoryview(stored))
    if said is None:
        assert task.status == 0
        assert stored == BLOCK
    else:
        assert (task.status, task.sense[2] & 15, task.sense[12], task.sense[13]) == (2, *said)
        assert not any(stored)


def test_what_can_not_be_decoded_is_left_to_the_device(serving: Serving) -> None:
    initiator = serving.connect(serving.add())
    short = initiator.run(xcopy.ExtendedCopy(parameter_list_length=9).encode(), data_out=bytes(9))
    assert (short.status, short.sense[12]) == (2, 0x1A)
