"""The tree below /proc/scsi: names, rights, and snapshots."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

import pytest

from midlayer.address import Address
from midlayer.lower.virtual import UnitSpec, VirtualDriver
from midlayer.mid.logical_unit import DeviceState
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.sg import SgDriver
from midlayer.upper.sg.parameters import Caller
from midlayer.upper.sg.proc import ProcTree

SEVEN = ("allow_dio", "debug", "def_reserved_size", "device_hdr", "device_strs", "devices", "version")
TEN = tuple(sorted((*SEVEN, "host_hdr", "host_strs", "hosts")))


def errno_of(call: Callable[[], object]) -> int | None:
    with pytest.raises(OSError) as caught:
        call()
    return caught.value.errno


def read(tree: ProcTree, path: str) -> str:
    return tree.open(f"scsi/{path}").read().decode()


def test_names(subsystem: Subsystem) -> None:
    tree = ProcTree(subsystem)
    assert tree.listdir("") == tree.listdir("/") == ("scsi",)
    assert tree.listdir("scsi") == ("device_info", "scsi", "sg", "virtual")
    assert tree.listdir("/scsi/sg/") == SEVEN
    assert tree.listdir("scsi/virtual") == ("0", "2")
    assert tree.names() == tuple(
        sorted(("scsi/device_info", "scsi/scsi", "scsi/virtual/0", "scsi/virtual/2",
                *(f"scsi/sg/{name}" for name in SEVEN)))
    )  # fmt: skip


def test_names_of_linux_2_4(subsystem: Subsystem) -> None:
    tree = ProcTree(subsystem, flavour="linux-2.4")
    assert tree.listdir("scsi") == ("scsi", "sg", "virtual")
    assert tree.listdir("scsi/sg") == TEN


def test_what_is_not_there(subsystem: Subsystem) -> None:
    tree = ProcTree(subsystem)
    assert errno_of(lambda: tree.open("scsi/sg/nothing")) == errno.ENOENT
    assert errno_of(lambda: tree.open("scsi/sg")) == errno.EISDIR
    assert errno_of(lambda: tree.listdir("scsi/virtual/0")) == errno.ENOTDIR
    assert errno_of(lambda: tree.listdir("scsi/virtual/1")) == errno.ENOENT
    assert errno_of(lambda: tree.mode("scsi/s")) == errno.ENOENT


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("scsi", stat.S_IFDIR | 0o555),
        ("scsi/scsi", stat.S_IFREG | 0o444),
        ("scsi/sg/debug", stat.S_IFREG | 0o444),
        ("scsi/sg/allow_dio", stat.S_IFREG | 0o644),
        ("scsi/virtual/2", stat.S_IFREG | 0o644),
    ],
)
def test_modes(subsystem: Subsystem, path: str, mode: int) -> None:
    assert ProcTree(subsystem).mode(path) == mode


def test_rights(subsystem: Subsystem) -> None:
    tree = ProcTree(subsystem)
    somebody, bare_root = Caller(uid=1000), Caller(uid=0)
    for path in tree.names():
        assert tree.open(path, somebody).read() is not None
        assert errno_of(lambda path=path: tree.open(path, somebody, os.O_RDWR)) == errno.EACCES
    for name in ("allow_dio", "def_reserved_size"):
        for caller in (bare_root, Caller(sys_admin=True), Caller(sys_rawio=True)):
            file = tree.open(f"scsi/sg/{name}", caller, os.O_WRONLY)
            assert errno_of(lambda file=file: file.write(b"text")) == errno.EACCES


def test_access_modes(subsystem: Subsystem) -> None:
    tree = ProcTree(subsystem)
    assert errno_of(lambda: tree.open("scsi/sg/allow_dio").write(b"1")) == errno.EBADF
    assert errno_of(tree.open("scsi/sg/allow_dio", flags=os.O_WRONLY).read) == errno.EBADF
    assert errno_of(lambda: tree.open("scsi/sg/debug", flags=os.O_RDWR).write(b"1")) == errno.EIO


def test_an_open_file_does_not_change(subsystem: Subsystem) -> None:
    tree = ProcTree(subsystem)
    files = [tree.open(f"scsi/{path}") for path in ("scsi", "sg/devices", "sg/device_strs")]
    before = [file.read() for file in files]
    subsystem.remove_device(subsystem.device(Address(0, 0, 0, 1)))
    assert [file.read() for file in files] == before
    assert b"".join(files[0].read(7, at) for at in range(0, len(before[0]), 7)) == before[0]
    assert [tree.open(file.path).read() for file in files] != before


def test_gaps(subsystem: Subsystem) -> None:
    tree, old = ProcTree(subsystem), ProcTree(subsystem, flavour="linux-2.4")
    subsystem.remove_device(subsystem.device(Address(0, 0, 0, 1)))
    assert read(tree, "sg/devices").splitlines()[1] == "\t".join(["-1"] * 9)
    assert read(tree, "sg/device_strs").splitlines()[1:3] == [
        "<no active device>",
        "Acme    \tTape 9          \t1   ",
    ]
    assert read(old, "sg/hosts") == "0\t0\t3\t65535\t0\t0\n-1\t-1\t-1\t-1\t-1\t-1\n0\t0\t3\t65535\t0\t0\n"
    assert read(old, "sg/host_strs") == "HBA 0, 2 units\n<no active host>\nHBA 2, 2 units\n"
    assert read(old, "sg/host_hdr") == "uid\tbusy\tcpl\tscatg\tisa\temul\n"


def test_nothing_follows_the_last_device(subsystem: Subsystem) -> None:
    for lun in (0, 1):
        subsystem.remove_device(subsystem.device(Address(2, 0, 0, lun)))
    assert len(read(ProcTree(subsystem), "sg/devices").splitlines()) == 2


def test_a_machine_without_devices() -> None:
    subsystem = Subsystem()
    tree, old = ProcTree(subsystem), ProcTree(subsystem, flavour="linux-2.4")
    assert read(tree, "scsi") == read(tree, "sg/debug") == read(tree, "sg/devices") == ""
    assert read(tree, "device_info").startswith("'Aashima' 'IMAGERY 2400SP' 0x1\n")
    assert read(old, "scsi") == "Attached devices: none\n"
    assert read(old, "sg/hosts") == read(old, "sg/host_strs") == ""
    assert read(old, "sg/debug").startswith("dev_max(currently)=6 max_active_device=0 (origin 1)\n")


def test_versions(subsystem: Subsystem) -> None:
    assert read(ProcTree(subsystem), "sg/version") == "30536\t3.5.36 [20140603]\n"
    old = ProcTree(subsystem, flavour="linux-2.4")
    assert read(old, "sg/version") == "30536\tVersion: 3.5.36 (20140603)\n"


def test_first_minor() -> None:
    subsystem = Subsystem(first_host_no=1000)
    subsystem.register_upper(SgDriver(first_minor=1000))
    driver = VirtualDriver(subsystem)
    host = driver.add_host()
    driver.plug(host, UnitSpec())
    assert read(ProcTree(subsystem, first_minor=1000), "sg/devices") == "1000\t0\t0\t0\t0\t1\t64\t0\t1\n"
    assert read(ProcTree(subsystem, first_minor=1001), "sg/devices") == ""


def test_openers_of_linux_2_4(subsystem: Subsystem) -> None:
    device = subsystem.device(Address(0, 0, 0, 0)).get()
    old = ProcTree(subsystem, flavour="linux-2.4")
    assert [line.split("\t")[5] for line in read(old, "sg/devices").splitlines()] == ["1", "0", "0", "0"]
    device.put()


def test_two_trees_count_attachments_once(subsystem: Subsystem) -> None:
    before = len(subsystem.upper_drivers())
    ProcTree(subsystem)
    ProcTree(subsystem)
    assert len(subsystem.upper_drivers()) == before + 1


def test_a_device_that_is_offline(subsystem: Subsystem) -> None:
    subsystem.set_device_state(subsystem.device(Address(0, 0, 0, 0)), DeviceState.OFFLINE)
    for flavour in ("linux-6", "linux-2.4"):
        lines = read(ProcTree(subsystem, flavour=flavour), "sg/devices").splitlines()
        assert [line.split("\t")[8] for line in lines] == ["0", "1", "1", "1"]
