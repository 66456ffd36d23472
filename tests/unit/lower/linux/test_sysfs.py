"""sysfs as it is, as it was, and as it is while things vanish."""

from __future__ import annotations

from pathlib import Path

import pytest

from midlayer.address import Address
from midlayer.lower.linux.sysfs import Sysfs

from .fake_kernel import BOOT_ID, INQUIRY, FakeKernel

A = Address(2, 0, 1, 5)


@pytest.fixture
def sysfs(kernel: FakeKernel) -> Sysfs:
    kernel.add_host(2)
    return Sysfs(kernel.sys, proc=kernel.proc)


def test_host(kernel: FakeKernel, sysfs: Sysfs) -> None:
    host = sysfs.host(2)
    assert host is not None
    assert (host.proc_name, host.unique_id, host.can_queue, host.cmd_per_lun) == ("scsi_debug", 2, 192, 192)
    assert (host.sg_tablesize, host.state, host.active_mode) == (2048, "running", "Initiator")
    assert host.session.startswith(f"{BOOT_ID}:")


def test_no_host(sysfs: Sysfs) -> None:
    assert sysfs.host(3) is None
    assert sysfs.host_session(3) == ""


def test_a_tree_without_scsi_is_empty(tmp_path: Path) -> None:
    sysfs = Sysfs(tmp_path / "nothing", proc=tmp_path)
    listing = sysfs.listing()
    assert (listing.hosts, listing.devices, sysfs.uevent_seqnum()) == ({}, {}, 0)


def test_device(kernel: FakeKernel, sysfs: Sysfs) -> None:
    kernel.add(A, nodes=False, queue_depth="64", wwid="naa.33333330000007d0")
    (kernel.device_dir(A) / "vpd_pg80").write_bytes(b"\0\x80\0\x042000")
    (kernel.device_dir(A) / "vpd_pg0").write_bytes(b"\0\0\0\x02\0\x80")
    for subsystem, name in (("scsi_generic", "sg3"), ("block", "sdb"), ("bsg", str(A))):
        kernel.add_node(A, subsystem, name)
    device = sysfs.device(A)
    assert device is not None
    assert (device.inquiry, device.state, device.queue_depth) == (INQUIRY, "running", 64)
    assert device.wwid == "naa.33333330000007d0"
    assert device.vpd_pages == {0x80: b"\0\x80\0\x042000", 0x00: b"\0\0\0\x02\0\x80"}
    assert device.names == {"sg": "sg3", "sd": "sdb", "bsg": f"bsg/{A}"}
    assert device.session == sysfs.session(A) == sysfs.listing().devices[A]


def test_names_of_tapes_and_cd_drives(kernel: FakeKernel, sysfs: Sysfs) -> None:
    kernel.add(A, nodes=False)
    for name in ("nst0", "nst0a", "st0", "st0a", "st0l"):
        kernel.add_node(A, "scsi_tape", name)
    kernel.add_node(A, "block", "sr1")
    assert sysfs.names(A) == {"st": "st0", "sr": "sr1"}


@pytest.mark.parametrize(
    ("scsi_level", "version", "response_format"),
    [("1", 1, 0), ("2", 1, 1), ("3", 2, 2), ("6", 5, 2), ("0", 0, 0)],
)
def test_inquiry_is_made_up_where_the_file_is_missing(
    kernel: FakeKernel, sysfs: Sysfs, scsi_level: str, version: int, response_format: int
) -> None:
    texts = {"vendor": "IBM     ", "model": "ULT3580-TD5     ", "rev": "B170", "type": "1"}
    kernel.add(A, inquiry=None, scsi_level=scsi_level, **texts)
    device = sysfs.device(A)
    assert device is not None
    expected = bytes((1, 0, version, response_format, 31, 0, 0, 0)) + b"IBM     ULT3580-TD5     B170"
    assert device.inquiry == expected


def test_a_device_without_anything_to_read(kernel: FakeKernel, sysfs: Sysfs) -> None:
    kernel.add(A, inquiry=None, queue_depth="many")
    device = sysfs.device(A)
    assert device is not None
    assert (device.inquiry, device.queue_depth) == (b"", 0)


def test_the_same_address_again_is_another_session(kernel: FakeKernel, sysfs: Sysfs) -> None:
    kernel.add(A)
    first = sysfs.session(A)
    kernel.remove(A)
    assert sysfs.session(A) == ""
    assert sysfs.device(A) is None
    kernel.add(A)
    assert sysfs.session(A) not in ("", first)


def test_stays(kernel: FakeKernel, sysfs: Sysfs) -> None:
    kernel.add(A)
    session = sysfs.session(A)
    assert sysfs.stays(A, session)
    assert not sysfs.stays(A, "another")
    (kernel.device_dir(A) / "state").write_text("cancel\n")
    assert not sysfs.stays(A, session)
    kernel.vanish(A)
    assert not sysfs.stays(A, session)
    assert not sysfs.stays(A, "")


def test_listing_is_in_order_and_leaves_out_hosts_and_targets(kernel: FakeKernel, sysfs: Sysfs) -> None:
    addresses = [Address(2, 0, 10, 0), Address(2, 0, 9, 0), Address(2, 0, 9, 12)]
    for address in addresses:
        kernel.add(address)
    for name in ("host2", "target2:0:9"):
        (kernel.sys / "bus/scsi/devices" / name).mkdir()
    listing = sysfs.listing()
    assert list(listing.devices) == sorted(addresses)
    assert list(listing.hosts) == [2]


def test_seqnum(kernel: FakeKernel, sysfs: Sysfs) -> None:
    assert sysfs.uevent_seqnum() == kernel.seqnum == 1002
