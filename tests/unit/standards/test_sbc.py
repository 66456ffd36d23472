from __future__ import annotations

import pytest

from midlayer.layout import DecodeError, Layout, LayoutError
from midlayer.standards import sbc


@pytest.mark.parametrize(
    ("cdb", "wire"),
    [
        (sbc.ReadCapacity10(), "25000000000000000000"),
        (sbc.ReadCapacity16(allocation_length=32), "9e100000000000000000000000200000"),
        (sbc.Read6(logical_block_address=0x1FFFFF, transfer_length=8), "081fffff0800"),
        (sbc.Write6(logical_block_address=0x010203), "0a0102030000"),
        (sbc.Read10(fua=True, logical_block_address=0x1234, transfer_length=8), "28080000123400000800"),
        (sbc.Read12(dpo=True, logical_block_address=1, transfer_length=2), "a81000000001000000020000"),
        (
            sbc.Read16(rdprotect=1, logical_block_address=1 << 32, transfer_length=3),
            "88200000000100000000000000030000",
        ),
        (sbc.Write10(group_number=31, logical_block_address=7, transfer_length=1), "2a00000000071f000100"),
        (sbc.Write12(logical_block_address=7, transfer_length=1), "aa0000000007000000010000"),
        (
            sbc.Write16(wrprotect=7, logical_block_address=7, transfer_length=1),
            "8ae00000000000000007000000010000",
        ),
        (sbc.Verify10(bytchk=1, logical_block_address=7, verification_length=1), "2f020000000700000100"),
        (sbc.Verify12(bytchk=3, logical_block_address=7, verification_length=1), "af0600000007000000010000"),
        (
            sbc.Verify16(vrprotect=1, logical_block_address=7, verification_length=1),
            "8f200000000000000007000000010000",
        ),
        (sbc.SynchronizeCache10(immed=True), "35020000000000000000"),
        (sbc.SynchronizeCache16(number_of_logical_blocks=1), "91000000000000000000000000010000"),
        (sbc.StartStopUnit(immed=True, start=True, loej=True), "1b0100000300"),
        (sbc.StartStopUnit(power_condition=2, power_condition_modifier=1), "1b0000012000"),
        (sbc.WriteSame10(unmap=True, number_of_logical_blocks=1), "41080000000000000100"),
        (
            sbc.WriteSame16(unmap=True, ndob=True, number_of_logical_blocks=1),
            "93090000000000000000000000010000",
        ),
        (
            sbc.GetLbaStatus(starting_logical_block_address=7, allocation_length=24),
            "9e120000000000000007000000180000",
        ),
        (sbc.Unmap(anchor=True, parameter_list_length=24), "42010000000000001800"),
    ],
)
def test_cdbs(cdb: Layout, wire: str) -> None:
    assert cdb.encode().hex() == wire
    assert type(cdb).decode(bytes.fromhex(wire)) == cdb


def test_length_zero_of_the_six_byte_commands() -> None:
    assert sbc.Read6().blocks == 256
    assert sbc.Write6(transfer_length=255).blocks == 255
    with pytest.raises(LayoutError, match="0x1fffff"):
        sbc.Read6(logical_block_address=1 << 21)


def test_a_service_action_is_checked() -> None:
    with pytest.raises(DecodeError, match="service_action"):
        sbc.ReadCapacity16.decode(sbc.GetLbaStatus().encode())


def test_read_capacity_10_data() -> None:
    # 8 MiB: 16,384 blocks of 512 bytes; the last LBA is reported, not the count.
    value = sbc.ReadCapacity10Data.decode(bytes.fromhex("00003fff00000200"))
    assert (value.returned_logical_block_address, value.block_length_in_bytes) == (0x3FFF, 512)


def test_read_capacity_16_data() -> None:
    value = sbc.ReadCapacity16Data.decode(
        bytes.fromhex("0000000000003fff 00000200 15 23 c0 07".replace(" ", ""))
    )
    assert value.capacity_bytes == 8 << 20
    assert (value.rc_basis, value.p_type, value.prot_en) == (1, 2, True)
    assert (value.p_i_exponent, value.logical_blocks_per_physical_block_exponent) == (2, 3)
    assert (value.lbpme, value.lbprz, value.lowest_aligned_logical_block_address) == (True, True, 7)
    assert value.decoded_length == 16
    assert len(value.encode()) == 32
    assert sbc.ReadCapacity16Data(lowest_aligned_logical_block_address=0x3FFF).encode()[14:16] == b"\x3f\xff"


def test_unmap_list() -> None:
    ranges = [
        sbc.UnmapBlockDescriptor(unmap_logical_block_address=1, number_of_logical_blocks=2),
        sbc.UnmapBlockDescriptor(unmap_logical_block_address=1 << 40, number_of_logical_blocks=0xFFFFFFFF),
    ]
    data = sbc.encode_unmap_list(ranges)
    assert data.hex() == (
        "0026002000000000" + "0000000000000001" + "0000000200000000" + "0000010000000000" + "ffffffff00000000"
    )
    assert sbc.decode_unmap_list(data) == ranges
    assert sbc.decode_unmap_list(data[:39]) == ranges[:1]
    assert sbc.decode_unmap_list(data + bytes(16)) == ranges
    assert sbc.decode_unmap_list(sbc.encode_unmap_list([])) == []


def test_unmap_list_errors() -> None:
    with pytest.raises(DecodeError, match="8 needed"):
        sbc.decode_unmap_list(bytes(7))
    with pytest.raises(LayoutError, match="4095"):
        sbc.encode_unmap_list([sbc.UnmapBlockDescriptor()] * 4096)
    assert len(sbc.encode_unmap_list([sbc.UnmapBlockDescriptor()] * 4095)) == 8 + 4095 * 16
