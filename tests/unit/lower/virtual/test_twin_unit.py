"""What a twin does beside answering as its device did."""

from __future__ import annotations

from collections.abc import Mapping

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.lower.virtual.spec import of_twin
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sbc import Read10, ReadCapacity10Data, Write10
from midlayer.standards.spc import ModeSelect6, StandardInquiry
from midlayer.twin import Answer, Twin
from midlayer.upper.sg import execute

IDENTITY = StandardInquiry(
    version=5, response_data_format=2, additional_length=31, t10_vendor_identification="ACME"
).encode_sized()
CAPACITY = ReadCapacity10Data(returned_logical_block_address=99, block_length_in_bytes=512).encode()
SUPPORTED = bytes.fromhex("00000008 0000000000000006")


def bring_up(answers: Mapping[bytes, Answer]) -> LogicalUnit:
    twin = Twin(answers={bytes.fromhex("120000000000"): Answer(IDENTITY), **answers})
    spec = UnitSpec(twin=twin, **of_twin(twin))
    return VirtualDriver(Subsystem()).add_host(HostSpec(units=(spec,))).devices()[0]


def test_blocks_can_be_written_and_read() -> None:
    device = bring_up({bytes.fromhex("25" + "00" * 9): Answer(CAPACITY)})
    assert execute(
        device, Write10(logical_block_address=99, transfer_length=1).encode(), data_out=b"x" * 512
    ).ok
    read = execute(device, Read10(logical_block_address=99, transfer_length=1).encode(), data_in=512)
    assert bytes(read.data) == b"x" * 512
    beyond = execute(device, Read10(logical_block_address=100, transfer_length=1).encode(), data_in=512)
    assert str(beyond.sense) == "ILLEGAL REQUEST, logical block address out of range (5/21/00)"


def test_a_command_that_the_device_does_not_list_is_refused() -> None:
    listed = {bytes.fromhex("a30c" + "00" * 10): Answer(SUPPORTED)}
    device = bring_up({bytes.fromhex("25" + "00" * 9): Answer(CAPACITY), **listed})
    refused = execute(device, Read10(transfer_length=1).encode(), data_in=512)
    assert str(refused.sense) == "ILLEGAL REQUEST, invalid command operation code (5/20/00)"


def test_mode_select_would_have_no_effect_and_is_refused() -> None:
    device = bring_up({})
    refused = execute(device, ModeSelect6(pf=True, parameter_list_length=4).encode(), data_out=bytes(4))
    assert refused.sense is not None
    assert (refused.sense.asc, refused.sense.ascq) == (0x20, 0)


def test_a_cd_drive_may_have_the_blocks_of_a_disk() -> None:
    cd = bytes((5,)) + IDENTITY[1:]
    twin = Twin(
        answers={bytes.fromhex("120000000000"): Answer(cd), bytes.fromhex("25" + "00" * 9): Answer(CAPACITY)}
    )
    assert UnitSpec(twin=twin, **of_twin(twin)).block_size == 512
