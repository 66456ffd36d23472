"""What is written to proc files, and what the kernel's functions make of it."""

from __future__ import annotations

import errno
import logging
import os

import pytest

from midlayer.address import Address
from midlayer.errors import NodePermission
from midlayer.mid.host import Host
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.quirks import Quirk, QuirkTable
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import ScriptedDriver
from midlayer.upper.sg.proc import ProcTree
from midlayer.upper.sg.proc.numbers import kstrtoul, simple_strtoul


@pytest.mark.parametrize(
    ("text", "value"),
    [(b"0", 0), (b"32768\n", 32768), (b"+7", 7), (b"0x8000", 32768), (b"0X1f\n", 31), (b"010", 8),
     (b"18446744073709551615", (1 << 64) - 1), (b"5\0rest", 5)],
)  # fmt: skip
def test_kstrtoul(text: bytes, value: int) -> None:
    assert kstrtoul(text) == value


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"-1", b"abc", b"08", b"0x", b"1 ", b" 1", b"1\n\n", b"++1", b"1.5", b"\xd9\xa1"]
)
def test_kstrtoul_of_what_is_no_number(text: bytes) -> None:
    with pytest.raises(OSError) as caught:
        kstrtoul(text)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("text", [b"18446744073709551616", b"9" * 500])
def test_kstrtoul_of_too_much(text: bytes) -> None:
    with pytest.raises(OSError) as caught:
        kstrtoul(text)
    assert caught.value.errno == errno.ERANGE


@pytest.mark.parametrize(
    ("text", "at", "found"), [("12 3", 0, (12, 2)), ("x0x1fz", 1, (31, 5)), ("-", 0, (0, 0)), ("", 5, (0, 5))]
)
def test_simple_strtoul(text: str, at: int, found: tuple[int, int]) -> None:
    assert simple_strtoul(text, at) == found


def write(subsystem: Subsystem, path: str, data: bytes) -> int | None:
    """Return the errno of a write, None if all was taken."""
    try:
        assert ProcTree(subsystem).open(f"scsi/{path}", flags=os.O_WRONLY).write(data) == len(data)
    except OSError as error:
        return error.errno
    return None


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (b"scsi remove-single-device 0 0 0 1", None),
        (b"scsi remove-single-device 0 0 0 1\n", None),
        (b"scsi remove-single-device 0:0:0:1", None),
        (b"scsi remove-single-device 0 0 0 0x1", None),
        (b"scsi remove-single-device", None),  # 0 0 0 0
        (b"scsi remove-single-device 0 0 0 2", errno.ENXIO),
        (b"scsi remove-single-device 1 0 0 0", errno.ENXIO),
        (b"scsi add-single-device 1 0 0 0", errno.ENXIO),
        (b"scsi add-single-device 0 0 7 0", None),  # nothing answers, and the kernel does not mind
        (b"scsi add-single-device 0 1 0 0", errno.EINVAL),
        (b"scsi add-single-device 0 0 256 0", errno.EINVAL),
        (b"scsi add-single-device 0 4294967295 4294967295 0", None),
        (b"scsi remove-a-device 0 0 0 1", errno.EINVAL),
        (b"", errno.EINVAL),
        (b"scsi", errno.EINVAL),
        (b"scsi add-single-device 0 0 0 0".ljust(4095), None),
        (b"scsi add-single-device 0 0 0 0".ljust(4096), errno.EINVAL),
        (b"scsi add-single-device 0 0 0 0".ljust(4096, b"\0"), None),
        (b"scsi add-single-device 0 0 0 0".ljust(4097, b"\0"), errno.EINVAL),
    ],
)
def test_sc_28(subsystem: Subsystem, data: bytes, outcome: int | None) -> None:
    assert write(subsystem, "scsi", data) == outcome


def test_sc_28_a_device_comes_back(subsystem: Subsystem) -> None:
    address = Address(2, 0, 0, 1)
    device = subsystem.device(address)
    assert write(subsystem, "scsi", b"scsi remove-single-device 2 0 0 1") is None
    assert address not in [each.address for each in subsystem.devices()]
    assert write(subsystem, "scsi", b"scsi add-single-device 2 0 0 1") is None
    assert subsystem.device(address) is not device


class KernelLike(ScriptedDriver):
    scans_itself = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[object] = []

    def user_scan(self, host: Host, channel: int | None, target: int | None, lun: int | None) -> bool:
        self.asked.append((channel, target, lun))
        return True

    def user_remove(self, device: LogicalUnit) -> bool:
        self.asked.append(str(device.address))
        if device.address.lun == 1:
            raise NodePermission(errno.EACCES, "no right to delete")
        return True


def test_sc_28_on_a_host_that_only_its_driver_can_scan() -> None:
    subsystem, driver = Subsystem(), KernelLike()
    driver.unit(0, 0, 0)
    driver.unit(0, 0, 1)
    driver.start(subsystem)
    assert write(subsystem, "scsi", b"scsi add-single-device 0 0 3 4") is None
    assert write(subsystem, "scsi", b"scsi remove-single-device 0 0 0 0") is None
    assert write(subsystem, "scsi", b"scsi remove-single-device 0 0 0 1") == errno.EACCES
    assert driver.asked == [(0, 3, 4), "0:0:0:0", "0:0:0:1"]


def test_device_info(subsystem: Subsystem) -> None:
    subsystem.quirks.add("Acme:RAID:0x240")
    assert write(subsystem, "device_info", b"Old:Disk:0x1\n") is None
    assert write(subsystem, "device_info", b'"New:Disk 2:16,Newer::010"') is None
    assert (
        ProcTree(subsystem)
        .open("scsi/device_info")
        .read()
        .decode()
        .startswith(
            "'Newer   ' '                ' 0x8\n"
            "'New     ' 'Disk 2          ' 0x10\n"
            "'Old     ' 'Disk            ' 0x1\n"
            "'Acme    ' 'RAID            ' 0x240\n"
            "'Aashima' 'IMAGERY 2400SP' 0x1\n"
        )
    )
    assert subsystem.quirks.lookup("Old", "Disk") == Quirk.NOLUN


def test_device_info_tries_the_newest_first(subsystem: Subsystem) -> None:
    subsystem.quirks.add("Acme:RAID:0x240")
    assert write(subsystem, "device_info", b"Acme:RAID:1") is None
    assert subsystem.quirks.lookup("Acme", "RAID") == Quirk.NOLUN


@pytest.mark.parametrize("data", [b"Acme:RAID", b"Acme:RAID:x", b"Acme:RAID:0x4000", b":RAID:1", b"\xff::"])
def test_device_info_of_what_is_no_entry(
    subsystem: Subsystem, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "midlayer.proc"):
        assert write(subsystem, "device_info", data) is None  # as the kernel, which only logs it
    assert "bad dev info string" in caplog.text
    assert subsystem.quirks.entries() == QuirkTable().entries()


class Talkative(HostTemplate):
    name = "Talkative HBA"
    proc_name = "talk"
    can_queue = 1

    def show_info(self, host: Host) -> str:
        if host.hostdata == "broken":
            raise RuntimeError("broken")
        return f"{host.hostdata}\nhost {host.host_no}\n"

    def write_info(self, host: Host, data: bytes) -> int:
        if data == b"no":
            return -errno.EPERM
        host.hostdata = data.decode()
        return len(data)


def test_the_file_of_a_host() -> None:
    subsystem = Subsystem()
    host = subsystem.host_alloc(Talkative())
    subsystem.add_host(host)
    assert write(subsystem, "talk/0", b"hello") is None
    assert ProcTree(subsystem).open("scsi/talk/0").read() == b"hello\nhost 0\n"
    assert write(subsystem, "talk/0", b"no") == errno.EPERM
    assert write(subsystem, "talk/0", bytes(3073)) == errno.EOVERFLOW
    assert write(subsystem, "talk/0", b"broken") is None
    with pytest.raises(OSError) as caught:
        ProcTree(subsystem).open("scsi/talk/0")
    assert caught.value.errno == errno.EIO


def test_the_file_of_a_host_whose_driver_has_none(subsystem: Subsystem) -> None:
    assert ProcTree(subsystem).open("scsi/virtual/2").read() == b"HBA\n2, 2 units\n"
    assert write(subsystem, "virtual/2", b"hello") == errno.EINVAL
