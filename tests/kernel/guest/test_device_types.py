"""Linux's drivers for enclosures, tapes, changers and CDs on our virtual ones, through its own initiator."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import nodes
from .eventually import eventually
from .nodes import udev_stopped
from .open_iscsi import PORTAL, logged_in, run
from .running import Up
from .scsi_debug import SCSI_DEVICES

IQN = "iqn.2026-11.io.midlayer:types"
HOST = 100  # below which the kernel takes its numbers
UNITS = """
[[host.unit]]
type = "enclosure"
product = "An enclosure"
slots = 3
bays = ["0:1:0"]

[[host.unit]]
target = 1
size = "1M"
product = "In its bay"

[[host.unit]]
target = 2
type = "tape"
product = "A tape"
size = "4M"
early_warning = "256K"

[[host.unit]]
target = 3
type = "changer"
product = "A changer"
slots = 3
drives = ["0:4:0"]
cartridges = ["AA0001L4", "AA0002L4"]

[[host.unit]]
target = 4
type = "tape"
product = "Its drive"
loaded = false

[[host.unit]]
target = 5
type = "cd"
product = "A CD"
file = "@/disc.iso"
"""
LUNS = ("0:0:0", "0:1:0", "0:2:0", "0:3:0", "0:4:0", "0:5:0")


def config(directory: Path) -> str:
    """Return one virtual host, and a target that offers its units."""
    luns = "".join(
        f'[[target.lun]]\nlun = {lun}\ndevice = "{HOST}:{place}"\n' for lun, place in enumerate(LUNS)
    )
    return (
        f'[[host]]\ndriver = "virtual"\nhost_no = {HOST}\n{UNITS.replace("@", str(directory))}'
        f'[[target]]\niqn = "{IQN}"\nportals = ["{PORTAL}"]\n{luns}'
    )


@pytest.fixture(scope="module", autouse=True)
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A daemon that offers one unit of each type, and the kernel logged in to it."""
    directory = tmp_path_factory.mktemp("types")
    run("modprobe", "-a", "iscsi_tcp", "ses", "st", "ch", "sr_mod", "isofs")
    run("ip", "link", "set", "lo", "up")
    (directory / "files").mkdir()
    (directory / "files/random").write_bytes(os.urandom(300_001))
    run("genisoimage", "-quiet", "-R", "-V", "MIDLAYER", "-o", f"{directory}/disc.iso", f"{directory}/files")
    up = Up(directory, config(directory))
    up.start()
    try:
        with logged_in(IQN):
            yield up
        assert up.stop() == 0
    finally:
        up.close()


@pytest.fixture(scope="module")
def image(up: Up) -> Path:
    """The ISO file that is in the CD drive."""
    return up.config.parent / "disc.iso"


def device(product: str) -> Path:
    """Return the sysfs directory of a device by its product identification."""

    def find() -> list[Path]:
        models = SCSI_DEVICES.glob("*:*:*:*/model")
        return [path.parent for path in models if path.read_text().strip() == product]

    (found,) = eventually(find, reason=f"a device with the model {product!r}")
    return found


def node(product: str, kind: str, pattern: str = "*") -> Path:
    """Return the node that a driver of the kernel has made of a device: `kind` is the driver's class."""
    return Path(nodes.node(device(product), kind, pattern))


def test_ses_shows_the_enclosure_and_sets_its_lights() -> None:
    shelf = device("An enclosure") / "enclosure"
    (enclosure,) = eventually(lambda: list(shelf.glob("*")), reason="ses to bind")
    # The enclosure is there before ses has asked what is in it.
    eventually((enclosure / "Slot 03" / "status").exists, reason="the slots")
    assert (enclosure / "components").read_text().strip() == "3"
    slots = [(enclosure / f"Slot 0{number}" / "status").read_text().strip() for number in (1, 2, 3)]
    assert slots == ["OK", "not installed", "not installed"]
    identity = (enclosure / "id").read_text().strip()
    generic = str(node("An enclosure", "scsi_generic"))
    assert identity.removeprefix("0x") in run("sg_ses", "--page=cf", generic)
    slot = enclosure / "Slot 02"
    # ses shows two bits of a fault: 1 is sensed, 2 requested.
    for attribute, acronym, shown in (("locate", "ident", "1"), ("fault", "fault", "2")):
        (slot / attribute).write_text("1\n")
        assert (slot / attribute).read_text().strip() == shown
        assert run("sg_ses", f"--get={acronym}", "--index=0,1", generic).strip() == "1"
        assert run("sg_ses", f"--get={acronym}", "--index=0,2", generic).strip() == "0"
        (slot / attribute).write_text("0\n")
        assert (slot / attribute).read_text().strip() == "0"
    (enclosure / "Slot 01" / "power_status").write_text("off\n")
    assert run("sg_ses", "--get=devoff", "--index=0,0", generic).strip() == "1"


class Tape:
    """Linux's tape drive, which does not rewind by itself, and the programs that use it."""

    def __init__(self) -> None:
        # Only one may have a tape drive open, and at first udev's scsi_id has.
        node("A tape", "scsi_tape", "st[0-9]")
        self.node = str(node("A tape", "scsi_tape", "nst[0-9]"))

    def mt(self, *words: str) -> str:
        """Run mt."""
        return run("mt-st", "-f", self.node, *words)

    def place(self) -> tuple[int, int]:
        """Return file and block number as st has them."""
        found = re.search(r"File number=(-?\d+), block number=(-?\d+)", self.mt("status"))
        assert found is not None
        return int(found[1]), int(found[2])

    def dd(self, *operands: str, status: int | None = 0) -> subprocess.CompletedProcess[bytes]:
        """Run dd, which has to end with `status`; None where it does not matter."""
        done = subprocess.run(["dd", "status=none", *operands], check=False, capture_output=True)
        assert status in (None, done.returncode), done.stderr
        return done


def test_st_takes_tar_archives_and_files_of_other_blocks(tmp_path: Path) -> None:
    tape = Tape()
    tape.mt("rewind")  # from here on st knows where it is
    names = ["one", "two"]
    for name in names:
        (tmp_path / name).write_bytes(os.urandom(50_000))
        run("tar", "-C", str(tmp_path), "-cf", tape.node, name)
    assert tape.place() == (2, 0)
    tape.mt("rewind")
    assert run("tar", "-tf", tape.node).split() == ["one"]
    tape.mt("rewind")
    tape.mt("fsf", "1")
    assert tape.place() == (1, 0)
    (tmp_path / "back").mkdir()
    run("tar", "-C", str(tmp_path / "back"), "-xf", tape.node)
    assert (tmp_path / "back/two").read_bytes() == (tmp_path / "two").read_bytes()
    tape.mt("asf", "0")
    run("tar", "-C", str(tmp_path), "-df", tape.node)  # compares
    tape.mt("eod")
    assert tape.place()[0] == 2
    end = int(tape.mt("tell").split()[-1].rstrip("."))
    tape.mt("seek", "0")
    assert tape.dd(f"if={tape.node}", "bs=10240", "count=1").stdout[:3] == b"one"
    tape.mt("seek", str(end))
    tape.mt("bsfm", "1")
    assert tape.mt("tell").split()[-1] == f"{end}."
    assert tape.dd(f"if={tape.node}", "bs=10240", status=None).stdout == b""  # blank


def test_st_in_variable_and_in_fixed_mode(tmp_path: Path) -> None:
    tape = Tape()
    data = os.urandom(96 << 10)
    (tmp_path / "data").write_bytes(data)
    tape.mt("rewind")
    tape.mt("setblk", "0")
    tape.dd(f"if={tmp_path}/data", f"of={tape.node}", "bs=32k")
    tape.mt("setblk", "512")
    assert "Tape block size 512 bytes" in tape.mt("status")
    tape.dd(f"if={tmp_path}/data", f"of={tape.node}", "bs=16k")
    tape.mt("rewind")
    tape.mt("setblk", "0")
    assert tape.dd(f"if={tape.node}", "bs=64k").stdout == data  # blocks shorter than asked for
    assert tape.dd(f"if={tape.node}", "bs=512").stdout == data
    tape.mt("rewind")
    assert b"Cannot allocate memory" in tape.dd(f"if={tape.node}", "bs=1k", status=1).stderr  # a longer block
    tape.mt("rewind")
    tape.mt("setblk", "512")
    tape.mt("fsf", "1")
    assert tape.dd(f"if={tape.node}", "bs=24k").stdout == data
    tape.mt("bsf", "1")
    tape.mt("bsr", "2")
    assert len(tape.dd(f"if={tape.node}", "bs=512").stdout) == 1024
    tape.mt("setblk", "0")


def test_st_meets_the_end_of_the_medium_and_an_empty_drive() -> None:
    tape = Tape()
    tape.mt("rewind")
    written = tape.dd("if=/dev/zero", f"of={tape.node}", "bs=64k", status=1)
    assert b"No space left on device" in written.stderr
    tape.mt("rewind")
    assert 3 << 20 < len(tape.dd(f"if={tape.node}", "bs=64k").stdout) < 4 << 20
    tape.mt("rewind")
    tape.mt("erase")
    assert tape.dd(f"if={tape.node}", "bs=64k", status=None).stdout == b""
    tape.mt("offline")
    tape.dd(f"if={tape.node}", "iflag=nonblock", "bs=64k", status=1)
    assert "DR_OPEN" in tape.mt("status")
    tape.mt("load")
    assert "ONLINE" in tape.mt("status")
    tape.mt("rewind")
    assert tape.place() == (0, 0)


# chio.h: what the changer driver's ioctls take, and the types of elements there.
CHIOMOVE, CHIOGPARAMS, CHIOGSTATUS = 0x40146301, 0x80146306, 0x40106308
PICKER, SLOT, DRIVE = 0, 1, 3
FULL = 0x01


def full(changer: int, kind: int, count: int) -> list[bool]:
    """Ask ch which elements of a type have something in them."""
    room = ctypes.create_string_buffer(count)
    fcntl.ioctl(changer, CHIOGSTATUS, struct.pack("@iP", kind, ctypes.addressof(room)))
    return [bool(flags & FULL) for flags in room.raw]


def test_ch_moves_cartridges() -> None:
    generic = str(node("A changer", "scsi_generic"))
    assert "Storage Element 2:Full :VolumeTag=AA0002L4" in run("mtx", "-f", generic, "status")
    drive = str(node("Its drive", "scsi_generic"))
    changer = os.open(node("A changer", "scsi_changer"), os.O_RDWR)
    try:
        params = struct.unpack("@5i", fcntl.ioctl(changer, CHIOGPARAMS, bytes(20)))
        assert params == (0, 1, 3, 0, 1)  # a picker, slots, no portals, a drive
        assert (full(changer, SLOT, 3), full(changer, DRIVE, 1)) == ([True, True, False], [False])
        fcntl.ioctl(changer, CHIOMOVE, struct.pack("@5i", SLOT, 1, DRIVE, 0, 0))
        assert (full(changer, SLOT, 3), full(changer, DRIVE, 1)) == ([True, False, False], [True])
        assert "(Storage Element 2 Loaded):VolumeTag = AA0002L4" in run("mtx", "-f", generic, "status")
        eventually(lambda: not subprocess.call(["sg_turs", drive]), reason="the drive to be ready")
        run("mtx", "-f", generic, "unload", "3", "0")
        assert full(changer, SLOT, 3) == [True, False, True]
        with pytest.raises(OSError):
            fcntl.ioctl(changer, CHIOMOVE, struct.pack("@5i", SLOT, 1, DRIVE, 0, 0))  # nothing is there
    finally:
        os.close(changer)


# cdrom.h: what sr's ioctls are called, and what they answer.
CDROMREADTOCHDR, CDROMREADTOCENTRY, CDROMEJECT, CDROMCLOSETRAY = 0x5305, 0x5306, 0x5309, 0x5319
CDROM_DRIVE_STATUS, CDROM_DISC_STATUS, CDROM_LOCKDOOR = 0x5326, 0x5327, 0x5329
TRAY_OPEN, DISC_OK, DATA_1, CURRENT = 2, 4, 101, 0x7FFFFFFF
LBA, LEAD_OUT = 1, 0xAA


@pytest.fixture
def cd() -> Iterator[Path]:
    """The CD drive, which udev would have open alone, and lock, when there is a new medium."""
    found = node("A CD", "block")
    with udev_stopped():
        yield found


def test_sr_mounts_an_image(cd: Path, image: Path, tmp_path: Path) -> None:
    assert hashlib.sha256(cd.read_bytes()).digest() == hashlib.sha256(image.read_bytes()).digest()
    run("mount", "-t", "iso9660", "-o", "ro", str(cd), str(tmp_path))
    try:
        assert (tmp_path / "random").read_bytes() == (image.parent / "files/random").read_bytes()
        with pytest.raises(OSError):
            (tmp_path / "new").write_bytes(b"")
    finally:
        run("umount", str(tmp_path))
    drive = os.open(cd, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert fcntl.ioctl(drive, CDROM_DRIVE_STATUS, CURRENT) == DISC_OK
        assert fcntl.ioctl(drive, CDROM_DISC_STATUS, 0) == DATA_1
        assert fcntl.ioctl(drive, CDROMREADTOCHDR, bytes(2)) == b"\1\1"
        entry = fcntl.ioctl(drive, CDROMREADTOCENTRY, struct.pack("@BBBxiB3x", LEAD_OUT, 0, LBA, 0, 0))
        assert struct.unpack("@BBBxiB3x", entry)[3] == image.stat().st_size // 2048
        fcntl.ioctl(drive, CDROM_LOCKDOOR, 0)
        fcntl.ioctl(drive, CDROMEJECT, 0)
        assert fcntl.ioctl(drive, CDROM_DRIVE_STATUS, CURRENT) == TRAY_OPEN
        fcntl.ioctl(drive, CDROMCLOSETRAY, 0)
        assert fcntl.ioctl(drive, CDROM_DRIVE_STATUS, CURRENT) == DISC_OK
    finally:
        os.close(drive)
    assert cd.read_bytes()[0x8001:0x8006] == b"CD001"
