"""blocktool against disks that are not there, and that misbehave."""

from __future__ import annotations

import pytest
from blocktool import blocks, serial_number

from midlayer import CommandError, Device
from midlayer.standards.sbc import Write10
from midlayer.testing.plugin import ScsiFaults


def test_serial_number(scsi_disk: Device) -> None:
    assert serial_number(scsi_disk) == "PYTEST-1"


@pytest.mark.scsi_disk(serial="ANOTHER", size="16M", block_size=4096)
def test_big_blocks(scsi_disk: Device) -> None:
    assert serial_number(scsi_disk) == "ANOTHER"
    assert {len(block) for block in blocks(scsi_disk) if block is not None} == {4096}


def test_blocks_in_order(scsi_disk: Device) -> None:
    for lba in (0, 7, 8, 2047):
        cdb = Write10(logical_block_address=lba, transfer_length=1).encode()
        scsi_disk.execute(cdb, data_out=bytes((lba & 0xFF,)) * 512).raise_for_status()
    found = {lba: block for lba, block in enumerate(blocks(scsi_disk)) if block and any(block)}
    assert {lba: block[0] for lba, block in found.items()} == {7: 7, 8: 8, 2047: 255}


@pytest.mark.scsi_fault(opcode="READ(10)", lba="9", sense="3/11/00")
@pytest.mark.scsi_fault(opcode="READ(10)", lba="2046-2047", sense="3/11/00")
def test_a_copy_survives_bad_blocks(scsi_disk: Device) -> None:
    found = list(blocks(scsi_disk))
    assert [lba for lba, block in enumerate(found) if block is None] == [9, 2046, 2047]
    assert len(found) == 2048


@pytest.mark.scsi_fault(opcode="READ(10)", lba="9", sense="3/11/00", times=1)
def test_a_block_that_can_be_read_at_last(scsi_disk: Device, scsi_faults: ScsiFaults) -> None:
    assert all(block is not None for block in blocks(scsi_disk))
    assert scsi_faults.hits() == 1, "eight blocks together failed, and each of them alone did not"


def test_a_disk_that_goes_and_comes_back(scsi_disk: Device, scsi_faults: ScsiFaults) -> None:
    scsi_faults.add(name="cable", state="path-down")
    with pytest.raises(CommandError, match="DID_NO_CONNECT"):
        list(blocks(scsi_disk))
    scsi_faults.clear("cable")
    assert len(list(blocks(scsi_disk))) == 2048


def test_another_program_sees_the_same_disk(scsi_disk: Device, scsi_exec) -> None:  # type: ignore[no-untyped-def]
    done = scsi_exec("cat", "/proc/scsi/scsi", check=True)
    assert "Vendor: MIDLAYER Model: Virtual disk" in done.stdout
