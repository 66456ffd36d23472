"""Commands through midlayer to real devices, judged by sg3_utils and dd on the same nodes."""

from __future__ import annotations

import random
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import midlayer
from midlayer.errors import MediumError, NodeError
from midlayer.standards.sbc import Read10, ReadCapacity16
from midlayer.standards.spc import (
    Inquiry,
    ReportSupportedOperationCodes,
    TestUnitReady,
    decode_supported_opcodes,
)

from .eventually import eventually
from .nodes import block_node, generic_node, ready_node
from .scsi_debug import ScsiDebug

LoadScsiDebug = Callable[..., ScsiDebug]
CHUNK = 64 * 1024
BLOCK = 512
BAD_LBA = 0x1234


def ready(debug: ScsiDebug) -> tuple[Path, str]:
    """Return a device without unit attentions, and its sg node."""
    (device,) = eventually(debug.devices)
    return device, ready_node(device)


def judged(*command: str) -> bytes:
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.mark.parametrize("ptype", [0, 1, 5, 8, 13])
def test_inquiry_equals_sg_inq(scsi_debug: LoadScsiDebug, ptype: int) -> None:
    _, path = ready(scsi_debug(ptype=ptype))
    with midlayer.open_device(path) as device:
        ours = device.execute(Inquiry(allocation_length=96).encode(), data_in=96).raise_for_status()
        identification = Inquiry(evpd=True, page_code=0x83, allocation_length=252).encode()
        vpd = device.execute(identification, data_in=252).raise_for_status()
    assert bytes(ours.data) == judged("sg_inq", "--raw", "--len=96", path)
    assert bytes(vpd.data) == judged("sg_vpd", "--page=0x83", "--raw", path)


def test_read_capacity_equals_sg_readcap(scsi_debug: LoadScsiDebug) -> None:
    _, path = ready(scsi_debug(sector_size=4096, lbpu=1))
    with midlayer.open_device(path) as device:
        ours = device.execute(ReadCapacity16(allocation_length=32).encode(), data_in=32).raise_for_status()
    assert bytes(ours.data) == judged("sg_readcap", "--long", "--raw", path)


def test_inquiry_of_the_disk_of_qemu_equals_sg_inq(qemu_disk: Path) -> None:
    path = generic_node(qemu_disk)
    with midlayer.open_device(path) as device:
        ours = device.execute(Inquiry(allocation_length=36).encode(), data_in=36).raise_for_status()
    assert bytes(ours.data) == judged("sg_inq", "--raw", "--len=36", path)


def test_a_medium_error_comes_back_with_its_lba(scsi_debug: LoadScsiDebug) -> None:
    _, path = ready(scsi_debug(opts=2))
    with midlayer.open_device(path) as device:
        result = device.execute(
            Read10(logical_block_address=BAD_LBA - 4, transfer_length=8).encode(), data_in=8 * BLOCK
        )
    assert result.sense is not None
    assert (result.sense.key, result.sense.asc, result.sense.ascq) == (3, 0x11, 0)
    assert result.sense.information == BAD_LBA
    assert result.residual == 8 * BLOCK
    with pytest.raises(MediumError, match="MEDIUM ERROR"):
        result.raise_for_status()


def test_a_read_in_64_kib_blocks_equals_dd(scsi_debug: LoadScsiDebug) -> None:
    device_path, generic = ready(scsi_debug(dev_size_mb=4))
    block = block_node(device_path)
    content = random.Random(64).randbytes(4 << 20)
    subprocess.run(
        ["dd", f"of={block}", "bs=64k", "oflag=direct", "status=none", "iflag=fullblock"],
        input=content,
        check=True,
    )
    read = bytearray(len(content))
    view = memoryview(read)
    with midlayer.open_device(generic) as device:
        for at in range(0, len(content), CHUNK):
            cdb = Read10(logical_block_address=at // BLOCK, transfer_length=CHUNK // BLOCK).encode()
            result = device.execute(cdb, data_in=view[at : at + CHUNK]).raise_for_status()
            assert result.residual == 0
    assert bytes(read) == judged("dd", f"if={block}", "bs=64k", "iflag=direct", "status=none") == content


def test_a_device_that_goes_while_a_command_is_in_flight_gives_a_result(scsi_debug: LoadScsiDebug) -> None:
    debug = scsi_debug()
    device_path, path = ready(debug)
    debug.slow_down(2.0)
    results = []
    with midlayer.open_device(path) as device:
        read = Read10(transfer_length=1).encode()
        flight = threading.Thread(target=lambda: results.append(device.execute(read, data_in=BLOCK)))
        flight.start()
        eventually(lambda: int((device_path / "device_busy").read_text()) > 0, interval_s=0.001)
        (device_path / "delete").write_text("1\n")
        flight.join(60)
        assert not flight.is_alive(), "the command hangs"
        assert results[0].ok or results[0].host_byte == midlayer.HostByte.DID_NO_CONNECT
        after = device.execute(TestUnitReady().encode())
        assert after.host_byte == midlayer.HostByte.DID_NO_CONNECT


def test_a_node_that_is_no_scsi_device_is_named() -> None:
    with pytest.raises(NodeError, match="/dev/null"):
        midlayer.open_device("/dev/null")


def test_a_device_is_opened_by_its_address(scsi_debug: LoadScsiDebug) -> None:
    found, path = ready(scsi_debug())
    with midlayer.open_device(found.name) as device:
        result = device.execute(Inquiry(allocation_length=36).encode(), data_in=36).raise_for_status()
    assert bytes(result.data) == judged("sg_inq", "--raw", "--len=36", path)


def test_the_supported_commands_are_those_of_sg_opcodes(scsi_debug: LoadScsiDebug) -> None:
    _, path = ready(scsi_debug())
    cdb = ReportSupportedOperationCodes(allocation_length=8192).encode()
    with midlayer.open_device(path) as device:
        ours = decode_supported_opcodes(bytes(device.execute(cdb, data_in=8192).raise_for_status().data))
    printed = judged("sg_opcodes", "--no-inquiry", "--unsorted", path).decode()
    judges = re.findall(r"^ ([0-9a-f]{2})  ", printed, re.MULTILINE)
    assert [f"{one.opcode:02x}" for one in ours] == judges, printed
