"""Copies between files and devices: every byte, and what is said in the end."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from midlayer import device as device_module
from midlayer.device import Device
from midlayer.errors import CommandError, MediumError, MidlayerError, Miscompare, NodeError, UsageError
from midlayer.frontends.dd.errors import FileDiffers, LockHeld
from midlayer.frontends.dd.operands import parse
from midlayer.frontends.dd.run import copy
from midlayer.mid.command import Command
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sbc import ReadCapacity16Data
from midlayer.testing import FakeClock
from midlayer.testing.scripted import Answer, ScriptedDriver

BLOCK = 512
SOON_S = 60.0
SIZE = 600 * BLOCK
DATA = random.Random(1).randbytes(SIZE)


def disk(path: Path, **options: object) -> str:
    """Return a virtual disk on a file."""
    more = "".join(f"&{key}={value}" for key, value in options.items())
    return f"virtual:disk?size={SIZE}&file={path}{more}"


@pytest.fixture(autouse=True, params=[False, True], ids=["by a session", "by threads"])
def drivers_may_block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Every copy is made in both ways: as for devices that keep the sending thread, and for others."""
    monkeypatch.setattr(HostTemplate, "queuecommand_may_block", request.param)
    by_threads: bool = request.param
    return by_threads


def run(*words: str, json: bool = False) -> None:
    copy(parse(words), json=json)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    path = tmp_path / "blank"
    path.write_bytes(bytes(SIZE))
    return path


WAYS = [
    "bpt=1",
    "bpt=7 thr=1",
    "thr=16",
    "bpt=128 cdbsz=16",
    "cdbsz=6 bpt=3",
    "cdbsz=12 iflag=dpo,fua",
    "verify",
    "bs=512 sync=1 time=1",
    "sparse",
    "iflag=mmap oflag=dio",
]


@pytest.mark.parametrize("options", WAYS)
def test_device_to_device(image: Path, blank: Path, options: str, capfd: pytest.CaptureFixture[str]) -> None:
    run(f"if={disk(image)}", f"of={disk(blank)}", *options.split())
    assert blank.read_bytes() == DATA
    assert capfd.readouterr().err.startswith("600+0 records in\n600+0 records out\n")


@pytest.mark.parametrize("options", ["", "bpt=5 depth=9", "verify=1", "oflag=dsync,flock", "sync=1"])
def test_device_to_file_and_back(image: Path, blank: Path, tmp_path: Path, options: str) -> None:
    file = tmp_path / "file"
    run(f"if={disk(image)}", f"of={file}", *options.split())
    assert file.read_bytes() == DATA
    run(
        f"if={file}", f"of={disk(blank)}", *(word for word in options.split() if not word.startswith("oflag"))
    )
    assert blank.read_bytes() == DATA


def test_file_to_file(image: Path, tmp_path: Path) -> None:
    run(f"if={image}", f"of={tmp_path / 'copy'}", "bs=1000", "verify")
    assert (tmp_path / "copy").read_bytes() == DATA


def test_skip_seek_and_count(image: Path, blank: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(f"if={disk(image)}", f"of={disk(blank)}", "skip=10", "seek=100", "count=50", "bpt=8")
    expected = bytearray(SIZE)
    expected[100 * BLOCK : 150 * BLOCK] = DATA[10 * BLOCK : 60 * BLOCK]
    assert blank.read_bytes() == expected
    assert "50+0 records in\n50+0 records out" in capfd.readouterr().err


def test_skip_and_seek_of_files(image: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"begin" * 1000)
    run(f"if={image}", f"of={file}", "bs=512", "skip=599", "seek=2")
    assert file.read_bytes() == (b"begin" * 1000)[:1024] + DATA[-512:]


def test_a_file_that_fills_no_block(tmp_path: Path, blank: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_bytes(DATA[:1300])
    blank.write_bytes(b"\xff" * SIZE)
    run(f"if={file}", f"of={disk(blank)}", "verify")
    assert blank.read_bytes()[:2048] == DATA[:1300] + bytes(236) + b"\xff" * 512
    assert capfd.readouterr().err == "2+1 records in\n2+1 records out\n3 records compared, all equal\n"
    run(f"if={file}", f"of={tmp_path / 'other'}")
    assert (tmp_path / "other").read_bytes() == DATA[:1300]


def test_no_more_than_the_target_has_room_for(image: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    run(f"if={disk(image)}", f"of=virtual:disk?size=5120&file={small}")
    assert small.read_bytes() == DATA[:5120]


def pipe(data: bytes) -> tuple[int, threading.Thread]:
    """Return a pipe that a thread fills."""
    reading, writing = os.pipe()

    def fill() -> None:
        with open(writing, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=fill)
    thread.start()
    return reading, thread


def test_from_a_pipe(blank: Path) -> None:
    reading, thread = pipe(DATA)
    run(f"if=/dev/fd/{reading}", f"of={disk(blank)}", "skip=1", "bpt=7")
    thread.join()
    os.close(reading)
    assert blank.read_bytes() == DATA[512:] + bytes(512)


def test_to_a_pipe_in_order(image: Path) -> None:
    reading, writing = os.pipe()
    received: list[bytes] = []

    def drain() -> None:
        with open(reading, "rb") as file:
            received.append(file.read())

    thread = threading.Thread(target=drain)
    thread.start()
    run(f"if={disk(image)}", f"of=/dev/fd/{writing}", "bpt=3", "thr=8", "sparse")
    os.close(writing)
    thread.join()
    assert received == [DATA]


def test_append(image: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"first")
    run(f"if={disk(image)}", f"of={file}", "count=2", "oflag=append")
    assert file.read_bytes() == b"first" + DATA[:1024]


@pytest.mark.parametrize(("flag", "byte"), [("00", b"\0"), ("ff", b"\xff")])
def test_patterns(image: Path, flag: str, byte: bytes) -> None:
    run("if=-", f"of={disk(image)}", f"iflag={flag}")
    assert image.read_bytes() == byte * SIZE


def test_null(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(f"if={disk(image)}", "of=.")
    run(f"if={disk(image)}", "of=whatever", "oflag=null")
    assert capfd.readouterr().err == "600+0 records in\n600+0 records out\n" * 2


# Sparse

HOLES = DATA[:8192] + bytes(65536) + DATA[8192:16384] + bytes(SIZE - 65536 - 16384)


def test_sparse_files_have_holes(image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image.write_bytes(HOLES)
    file = tmp_path / "file"
    run(f"if={disk(image)}", f"of={file}", "bpt=8", "sparse")
    assert file.read_bytes() == HOLES
    assert file.stat().st_blocks * 512 < 65536
    assert "568 records were zero and left out" in capfd.readouterr().err


def test_sparse_unmaps_where_that_makes_zeros(image: Path, blank: Path) -> None:
    image.write_bytes(HOLES)
    blank.write_bytes(b"\xff" * SIZE)
    run(f"if={disk(image)}", f"of={disk(blank, thin='yes')}", "bpt=8", "sparse")
    assert blank.read_bytes() == HOLES


def test_sparse_leaves_alone_what_can_not_be_unmapped(image: Path, blank: Path) -> None:
    image.write_bytes(HOLES)
    blank.write_bytes(b"\xff" * SIZE)
    run(f"if={disk(image)}", f"of={disk(blank)}", "bpt=8", "sparse")
    assert blank.read_bytes()[8192 : 8192 + 65536] == b"\xff" * 65536


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("bs=4096", r"dd: bs=4096: virtual.* has blocks of 512 bytes"),
        ("skip=601", r"dd: skip=601: virtual.* has 600 blocks"),
        ("count=601", r"dd: count=601: virtual.* has 600 blocks after skip=0"),
        ("skip=590 count=11", r"dd: count=11: virtual.* has 10 blocks after skip=590"),
        ("cdbsz=6 bpt=257", r"dd: virtual.*: cdbsz=6 reaches 2097152 blocks and moves 256 at once"),
        ("cdbsz=6 iflag=fua", r"a CDB of 6 bytes has no DPO and no FUA bit"),
    ],
)
def test_operands_that_do_not_fit_the_device(image: Path, options: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(f"if={disk(image)}", "of=.", *options.split())


def test_two_sizes_of_blocks(image: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"bs=512: virtual.* has blocks of 4096 bytes"):
        run(f"if={disk(image)}", f"of=virtual:disk?size=1M&block_size=4096&file={tmp_path / 'big'}")


def test_files_that_can_not_be_used(image: Path, tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="nowhere: No such file or directory"):
        run(f"if={tmp_path / 'nowhere'}", "of=.")
    with pytest.raises(UsageError, match="flock is for files"):
        run(f"if={image}", f"of={disk(image)}", "oflag=flock")
    with open(image) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LockHeld, match="another program holds a lock on it"):
            run("if=/dev/null", f"of={image}", "oflag=flock")
    with pytest.raises(NodeError, match="Is a directory"):
        run(f"if={image}", f"of={tmp_path}")
    with pytest.raises(UsageError, match="seek needs a target that can be written anywhere"):
        _seek_in_a_pipe(image)


def _seek_in_a_pipe(image: Path) -> None:
    reading, writing = os.pipe()
    try:
        run(f"if={image}", f"of=/dev/fd/{writing}", "seek=1")
    finally:
        os.close(reading)
        os.close(writing)


# A device that misbehaves


class BadDisk(ScriptedDriver):
    """600 blocks: some of them can not be read, some not be written, and some answers pass."""

    can_queue = cmd_per_lun = 16

    def __init__(self) -> None:
        super().__init__()
        self.content = bytearray(DATA)
        self.bad_reads: set[int] = set()
        self.bad_writes: set[int] = set()
        self.passing: list[Answer] = []
        self.verifies = True
        self.lies = False
        unit = self.unit(0, 0, 0)
        capacity = ReadCapacity16Data(
            returned_logical_block_address=599, block_length_in_bytes=BLOCK
        ).encode()
        unit.on(0x9E, Answer(data=capacity))
        unit.on(0x28, self.read)
        unit.on(0x2A, self._write)
        unit.on(0x2F, self._verify)

    def _range(self, command: Command) -> tuple[range, slice]:
        lba, blocks = int.from_bytes(command.cdb[2:6], "big"), int.from_bytes(command.cdb[7:9], "big")
        return range(lba, lba + blocks), slice(lba * BLOCK, (lba + blocks) * BLOCK)

    def read(self, command: Command) -> Answer:
        blocks, place = self._range(command)
        if self.passing:
            return self.passing.pop()
        return (
            Answer.check(3, 0x11) if self.bad_reads & set(blocks) else Answer(data=bytes(self.content[place]))
        )

    def _write(self, command: Command) -> Answer:
        blocks, place = self._range(command)
        if self.bad_writes & set(blocks):
            return Answer.check(3, 0x0C)
        if not self.lies:
            assert command.data_out is not None
            self.content[place] = command.data_out
        return Answer(residual=0)

    def _verify(self, command: Command) -> Answer:
        _, place = self._range(command)
        if not self.verifies:
            return Answer.check(5, 0x20)
        assert command.data_out is not None
        return Answer() if self.content[place] == bytes(command.data_out) else Answer.check(0xE, 0x1D)


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> BadDisk:
    """What ``virtual:disk`` opens."""
    driver = BadDisk()

    def open_device(text: str, *, direct_io: bool = False) -> Device:
        return Device(driver.start(Subsystem(clock=FakeClock())).devices()[0])

    monkeypatch.setattr(device_module, "open_device", open_device)
    return driver


def test_an_unreadable_block_ends_the_copy(
    bad: BadDisk, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad.bad_reads = {300}
    with pytest.raises(MediumError, match="unrecovered read error"):
        run("if=virtual:disk", f"of={tmp_path / 'out'}", "bpt=100", "depth=1")
    assert capfd.readouterr().err == "300+0 records in\n300+0 records out\n"


def test_coe_puts_zeros_in_the_place_of_unreadable_blocks(
    bad: BadDisk, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad.bad_reads = {5, 300, 301, 302}
    run("if=virtual:disk", f"of={tmp_path / 'out'}", "coe=1")
    expected = bytearray(DATA)
    for block in bad.bad_reads:
        expected[block * BLOCK : (block + 1) * BLOCK] = bytes(BLOCK)
    assert (tmp_path / "out").read_bytes() == expected
    assert "4 blocks could not be read: 5, 300-302" in capfd.readouterr().err


def test_coe_leaves_out_what_can_not_be_written(
    bad: BadDisk, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad.bad_writes = {17}
    (tmp_path / "in").write_bytes(bytes(SIZE))
    with pytest.raises(MediumError):
        run(f"if={tmp_path / 'in'}", "of=virtual:disk", "bpt=10")
    run(f"if={tmp_path / 'in'}", "of=virtual:disk", "bpt=10", "coe=1")
    assert bad.content == bytes(10 * BLOCK) + DATA[10 * BLOCK : 20 * BLOCK] + bytes(580 * BLOCK)
    assert "10 blocks could not be written: 10-19" in capfd.readouterr().err


def test_retries(bad: BadDisk, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bad.passing = [Answer.check(3, 0x11)] * 2
    run("if=virtual:disk", f"of={tmp_path / 'out'}", "retries=2", "thr=1")
    assert "2 commands sent again" in capfd.readouterr().err
    bad.passing = [Answer.check(3, 0x11)] * 2
    with pytest.raises(MediumError):
        run("if=virtual:disk", f"of={tmp_path / 'out'}", "retries=1", "thr=1")


@pytest.mark.parametrize("answer", [Answer.check(6, 0x29), Answer.check(0xB, 0x44)])
def test_what_passes_is_tried_again(bad: BadDisk, tmp_path: Path, answer: Answer) -> None:
    bad.passing = [answer] * 5
    run("if=virtual:disk", f"of={tmp_path / 'out'}")
    assert (tmp_path / "out").read_bytes() == DATA


def test_a_device_that_is_gone_ends_the_copy_in_spite_of_coe(bad: BadDisk, tmp_path: Path) -> None:
    bad.passing = [Answer(host_byte=1)]
    with pytest.raises(CommandError, match="DID_NO_CONNECT"):
        run("if=virtual:disk", f"of={tmp_path / 'out'}", "coe=1")


def test_good_without_all_bytes_is_no_success(bad: BadDisk, tmp_path: Path) -> None:
    bad.passing = [Answer(data=b"short")]
    with pytest.raises(MidlayerError, match="bytes are missing"):
        run("if=virtual:disk", f"of={tmp_path / 'out'}")


def test_verify_finds_a_liar(bad: BadDisk, image: Path) -> None:
    bad.content = bytearray(SIZE)
    bad.lies = True
    with pytest.raises(Miscompare):
        run(f"if={image}", "of=virtual:disk", "verify")
    bad.verifies = False  # then what was written is read again
    with pytest.raises(FileDiffers, match="virtual:disk: blocks 0 to 127 are not what was written"):
        run(f"if={image}", "of=virtual:disk", "verify", "bpt=128", "thr=1")


def test_verify_without_verify(bad: BadDisk, image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bad.content, bad.verifies = bytearray(SIZE), False
    run(f"if={image}", "of=virtual:disk", "verify")
    assert bad.content == DATA
    assert "600 records compared, all equal" in capfd.readouterr().err


# Threads


def test_as_many_commands_as_asked_for_are_at_the_device(bad: BadDisk, tmp_path: Path) -> None:
    bad.queuecommand_may_block = True
    together = threading.Barrier(5)

    def read(command: Command) -> Answer:
        together.wait(timeout=SOON_S)
        return bad.read(command)

    bad.units[0, 0, 0].on(0x28, read)
    run("if=virtual:disk", f"of={tmp_path / 'out'}", "bpt=20", "thr=5")
    assert (tmp_path / "out").read_bytes() == DATA


def threads_of_dd() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("midlayer-dd")]


def test_an_error_does_not_wait_for_a_device_that_hangs(bad: BadDisk, tmp_path: Path) -> None:
    bad.queuecommand_may_block = True
    hangs, goes_on = threading.Event(), threading.Event()

    def read(command: Command) -> Answer:
        if command.cdb[5]:
            hangs.set()
            goes_on.wait(timeout=SOON_S)
            return bad.read(command)
        assert hangs.wait(timeout=SOON_S)
        return Answer.check(3, 0x11)

    bad.units[0, 0, 0].on(0x28, read)
    with pytest.raises(MediumError):
        run("if=virtual:disk", f"of={tmp_path / 'out'}", "bpt=100", "thr=2")
    end_s = time.monotonic() + SOON_S
    while len(left := threads_of_dd()) > 1:  # the other is about to end
        assert time.monotonic() < end_s
    assert len(left) == 1
    goes_on.set()
    left[0].join(timeout=SOON_S)
    assert not left[0].is_alive()
    assert (tmp_path / "out").read_bytes() == b"", "what came after the error is not written"


# Resuming


def test_resume(image: Path, blank: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    run(f"if={disk(image)}", f"of={disk(blank)}", f"resume={log}")
    lines = log.read_text().splitlines()
    assert json.loads(lines[0])["count"] == 600
    assert json.loads(lines[-1]) == {"done": 600, "unreadable": [], "unwritten": []}
    log.write_text(f'{lines[0]}\n{{"done": 590, "unreadable": [3], "unwritten": []}}\n{{"done": 5')
    blank.write_bytes(bytes(SIZE))
    capfd.readouterr()
    run(f"if={disk(image)}", f"of={disk(blank)}", f"resume={log}")
    assert blank.read_bytes() == bytes(590 * BLOCK) + DATA[590 * BLOCK :]
    said = capfd.readouterr().err
    assert said.startswith("10+0 records in\n10+0 records out\n590 records copied by an earlier run\n")
    assert "1 block could not be read: 3" in said
    run(f"if={disk(image)}", f"of={disk(blank)}", f"resume={log}")
    assert "0+0 records in" in capfd.readouterr().err


def test_resume_of_another_copy(image: Path, blank: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    run(f"if={disk(image)}", f"of={disk(blank)}", f"resume={log}")
    with pytest.raises(UsageError, match=r"the log of another copy \(skip=0, count=600\)"):
        run(f"if={disk(image)}", f"of={disk(blank)}", f"resume={log}", "skip=1")
    log.write_text("not a log\n")
    with pytest.raises(UsageError, match="not the log of a copy"):
        run(f"if={disk(image)}", f"of={disk(blank)}", f"resume={log}")


def test_an_error_leaves_a_log_to_resume_from(bad: BadDisk, tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "out"
    bad.bad_reads = {550}
    with pytest.raises(MediumError):
        run("if=virtual:disk", f"of={out}", f"resume={log}", "bpt=50", "depth=1")
    bad.bad_reads = set()
    run("if=virtual:disk", f"of={out}", f"resume={log}", "bpt=50", "depth=1")
    assert out.read_bytes() == DATA


def test_json(image: Path, blank: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(f"if={disk(image)}", f"of={disk(blank)}", json=True)
    said = capfd.readouterr()
    report = json.loads(said.out)
    assert report["records_in"] == report["records_out"] == {"full": 600, "partial": 0}
    assert (report["bytes_out"], report["unreadable"], said.err) == (SIZE, [], "")


def test_a_signal_asks_for_a_report(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.write(writing, DATA[:1024])
    readv = os.readv

    def read(descriptor: int, buffers: list[memoryview]) -> int:
        if (tmp_path / "out").stat().st_size == 1024:  # else it would wait for ever now
            signal.raise_signal(signal.SIGUSR1)
            os.close(writing)
        return readv(descriptor, buffers)

    monkeypatch.setattr(os, "readv", read)
    run(f"if=/dev/fd/{reading}", f"of={tmp_path / 'out'}", "bpt=1")
    os.close(reading)
    assert capfd.readouterr().err == "2+0 records in\n2+0 records out\n" * 2
