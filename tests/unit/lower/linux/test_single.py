"""One node, without a daemon. /dev/null stands in for sg nodes: its numbers are 1:3."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from midlayer.address import Address
from midlayer.errors import NodeError, NodePermission
from midlayer.lower.linux import close_node, open_node
from midlayer.mid.command import HostByte
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.upper.sg import Session, execute
from midlayer.upper.sg.reset import reset

from .fake_kernel import INQUIRY, FakeIoctl, FakeKernel, SgAnswer

A = Address(2, 0, 1, 0)


def register(
    kernel: FakeKernel, kind: str, numbers: str, subsystem: str, address: Address | None = A
) -> Path:
    """Make the entry that sysfs has for each device number."""
    entry = kernel.sys / "dev" / kind / numbers
    entry.mkdir()
    bus = kernel.sys / "class" / subsystem
    bus.mkdir(exist_ok=True)
    (entry / "subsystem").symlink_to(bus)
    if address is not None:
        (entry / "device").symlink_to(kernel.device_dir(address))
    return entry


@pytest.fixture
def disk(kernel: FakeKernel) -> FakeKernel:
    kernel.add_host(2)
    kernel.add(A, nodes=False)
    kernel.add_node(A, "scsi_generic", "sg3")
    register(kernel, "char", "1:3", "scsi_generic")
    return kernel


def opened(kernel: FakeKernel, ioctl: FakeIoctl, path: str | Path) -> LogicalUnit:
    return open_node(path, sys_root=kernel.sys, proc_root=kernel.proc, dev_root=kernel.dev, ioctl=ioctl)


def test_sg_node(disk: FakeKernel, ioctl: FakeIoctl) -> None:
    for path in ("sg3", disk.dev / "sg3", str(disk.dev / "sg3")):
        device = opened(disk, ioctl, path)
        assert (device.address, device.inquiry_data, device.model) == (A, INQUIRY, "scsi_debug")
        assert device.host.name == "scsi_debug"
        assert execute(device, bytes(6)).ok
        close_node(device)
    assert [seen["cdb"] for seen in ioctl.seen] == [bytes(6)] * 3


def test_close_closes_the_descriptor(disk: FakeKernel, ioctl: FakeIoctl) -> None:
    device = opened(disk, ioctl, "sg3")
    pool = device.hostdata.pool
    assert pool.opened == 1
    close_node(device)
    assert pool.opened == 0


def test_disk_node(disk: FakeKernel, ioctl: FakeIoctl, monkeypatch: pytest.MonkeyPatch) -> None:
    register(disk, "block", "8:0", "block")
    (disk.dev / "sda").touch()
    real = os.stat
    fake = os.stat_result((stat.S_IFBLK | 0o660, 0, 0, 1, 0, 6, 0, 0, 0, 0), {"st_rdev": os.makedev(8, 0)})
    monkeypatch.setattr(os, "stat", lambda path, **o: fake if str(path).endswith("sda") else real(path, **o))
    device = opened(disk, ioctl, "sda")
    assert device.address == A
    assert execute(device, bytes(6)).ok
    close_node(device)


def test_partition(disk: FakeKernel, ioctl: FakeIoctl, monkeypatch: pytest.MonkeyPatch) -> None:
    (register(disk, "block", "8:1", "block", None) / "partition").write_text("1\n")
    (disk.dev / "sda1").touch()
    real = os.stat
    fake = os.stat_result((stat.S_IFBLK | 0o660, 0, 0, 1, 0, 6, 0, 0, 0, 0), {"st_rdev": os.makedev(8, 1)})
    monkeypatch.setattr(os, "stat", lambda path, **o: fake if str(path).endswith("sda1") else real(path, **o))
    with pytest.raises(NodeError, match="sda1: a partition"):
        opened(disk, ioctl, "sda1")


def test_no_such_node(disk: FakeKernel, ioctl: FakeIoctl) -> None:
    with pytest.raises(NodeError, match=r"/sg9: no such node; is the device there") as caught:
        opened(disk, ioctl, "sg9")
    assert caught.value.errno == errno.ENOENT


def test_a_file(disk: FakeKernel, ioctl: FakeIoctl) -> None:
    (disk.dev / "file").touch()
    with pytest.raises(NodeError, match="file: a file, not a device node"):
        opened(disk, ioctl, "file")
    with pytest.raises(NodeError, match="a directory, not a device node"):
        opened(disk, ioctl, disk.dev)


def test_a_device_of_another_kind(kernel: FakeKernel, ioctl: FakeIoctl) -> None:
    register(kernel, "char", "1:3", "mem", None)
    with pytest.raises(NodeError, match="/dev/null: a mem char device, 1:3, not one of the SCSI subsystem"):
        opened(kernel, ioctl, "/dev/null")


def test_a_node_without_a_driver(kernel: FakeKernel, ioctl: FakeIoctl) -> None:
    with pytest.raises(NodeError, match="/dev/null: no driver serves this char device, 1:3"):
        opened(kernel, ioctl, "/dev/null")


def test_no_sg_driver(kernel: FakeKernel, ioctl: FakeIoctl) -> None:
    kernel.add_host(2)
    kernel.add(A, nodes=False)
    register(kernel, "char", "1:3", "scsi_tape")
    with pytest.raises(NodeError, match="modprobe sg"):
        opened(kernel, ioctl, "/dev/null")


def test_without_the_right(disk: FakeKernel, ioctl: FakeIoctl, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, *args: object, **options: object) -> int:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(NodePermission, match="sg3: read and write access is missing"):
        opened(disk, ioctl, "sg3")


def without_sysfs(tmp_path: Path, ioctl: FakeIoctl, path: str) -> LogicalUnit:
    return open_node(path, sys_root=tmp_path / "no", proc_root=tmp_path / "no", ioctl=ioctl)


def test_without_sysfs_the_node_is_asked(tmp_path: Path, ioctl: FakeIoctl) -> None:
    ioctl.scsi_id = A
    ioctl.answer = SgAnswer(data=INQUIRY)
    device = without_sysfs(tmp_path, ioctl, "/dev/null")
    assert (device.address, device.inquiry_data, device.vendor) == (A, INQUIRY, "Linux")
    assert ioctl.seen[0]["cdb"] == bytes.fromhex("12 00 00 00 60 00")
    close_node(device)


def test_without_sysfs_and_without_an_answer_to_inquiry(tmp_path: Path, ioctl: FakeIoctl) -> None:
    ioctl.scsi_id = A
    ioctl.answer = SgAnswer(host_status=1)
    device = without_sysfs(tmp_path, ioctl, "/dev/null")
    assert device.inquiry_data == b""
    close_node(device)


def test_without_sysfs_what_is_no_sg_node(tmp_path: Path, ioctl: FakeIoctl) -> None:
    with pytest.raises(NodeError, match="/dev/null: not a node of the sg driver"):
        without_sysfs(tmp_path, ioctl, "/dev/null")


def test_how_much_the_kernel_moves_at_once(disk: FakeKernel, ioctl: FakeIoctl) -> None:
    ioctl.max_bytes = 120 << 10
    device = opened(disk, ioctl, "sg3")
    assert device.host.max_sectors == 240
    close_node(device)


def test_a_device_that_was_removed_has_no_connection(disk: FakeKernel, ioctl: FakeIoctl) -> None:
    device = opened(disk, ioctl, "sg3")
    disk.remove(A)
    with Session(device) as session:
        session.submit([bytes(6)])
        assert session.receive(timeout_s=10)[1].host_byte == HostByte.DID_NO_CONNECT
    close_node(device)


def test_direct_io_is_asked_for(disk: FakeKernel, ioctl: FakeIoctl) -> None:
    device = open_node(
        "sg3", sys_root=disk.sys, proc_root=disk.proc, dev_root=disk.dev, ioctl=ioctl, direct_io=True
    )
    ioctl.flags = 1
    assert execute(device, bytes(6)).ok
    close_node(device)


@pytest.mark.parametrize(
    ("level", "value"), [("device", 0x101), ("bus", 0x102), ("host", 0x103), ("target", 0x104)]
)
def test_resets(disk: FakeKernel, ioctl: FakeIoctl, level: str, value: int) -> None:
    device = opened(disk, ioctl, "sg3")
    assert reset(device, level) == level
    assert ioctl.resets == [value]
    ioctl.reset_error = errno.EIO
    assert reset(device, level) is None
    ioctl.reset_error = errno.EACCES
    with pytest.raises(NodePermission, match="a reset needs CAP_SYS_ADMIN and CAP_SYS_RAWIO"):
        reset(device, level)
    close_node(device)
