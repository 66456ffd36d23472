"""Linux's own initiator and our target in one guest: LUNs as disks, file systems on them, reservations."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from midlayer.frontends.cli.client import Client

from .eventually import LIMIT_S, eventually
from .open_iscsi import PORTAL, Initiator, logged_in, run
from .running import Up

IQN = "iqn.2026-11.io.midlayer:guest"
HOST = 100  # below which the kernel takes its numbers
CONFIG = f"""
[[host]]
driver = "virtual"
host_no = {HOST}

[[host.unit]]
size = "64M"
product = "For ext4"

[[host.unit]]
lun = 1
size = "512M"
thin = true
product = "For XFS"

[[target]]
iqn = "{IQN}"
portals = ["{PORTAL}"]

[[target.lun]]
lun = 0
device = "{HOST}:0:0:0"

[[target.lun]]
lun = 1
device = "{HOST}:0:0:1"

[[target.lun]]
lun = 2
device = "{HOST}:0:0:2"
"""
FILES, FILE_BYTES = 16, 1 << 20
DROPS = 2
FIO = (
    *("fio", "--name=drops", "--rw=randwrite", "--bs=4k", "--size=24m", "--direct=1", "--ioengine=libaio"),
    *("--iodepth=16", "--rate=4m", "--verify=crc32c", "--verify_fatal=1", "--randseed=7"),
    "--output-format=json",
)
"""Six seconds of writes, then it reads all of them back."""


@pytest.fixture(scope="module")
def initiator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Initiator]:
    run("modprobe", "-a", "iscsi_tcp", "ext4", "xfs")
    run("ip", "link", "set", "lo", "up")
    up = Up(tmp_path_factory.mktemp("target"), CONFIG)
    up.start()
    try:
        with logged_in(IQN):
            yield Initiator(up)
        assert up.stop() == 0
    finally:
        up.close()


def test_luns_are_disks_with_our_names(initiator: Initiator) -> None:
    disks = {lun: initiator.disk(lun) for lun in (0, 1)}
    listed = {line.split()[-1]: line for line in run("lsscsi").splitlines()}
    for lun, product, size in ((0, "For ext4", 64 << 20), (1, "For XFS", 512 << 20)):
        assert f"MIDLAYER {product}" in listed[str(disks[lun])]
        assert int((Path("/sys/class/block") / disks[lun].name / "size").read_text()) * 512 == size
    wwids = {(device / "wwid").read_text().strip() for device in initiator.devices().values()}
    assert len(wwids) == 2
    ours = [item["wwid"] for item in initiator.up.items("attached", HOST)]
    assert wwids == set(ours)


@pytest.mark.parametrize(("lun", "kind"), [(0, "ext4"), (1, "xfs")])
def test_no_byte_is_wrong_after_connections_were_dropped(
    initiator: Initiator, tmp_path: Path, lun: int, kind: str
) -> None:
    disk = str(initiator.disk(lun))
    run(f"mkfs.{kind}", "-q", disk)
    run("mount", "-t", kind, disk, str(tmp_path))
    written: dict[str, str] = {}
    writer = threading.Thread(target=_write, args=(tmp_path, written))
    try:
        writer.start()
        for _ in range(DROPS):
            seen = len(written)
            initiator.drop()
            eventually(lambda: len(written) > seen or not writer.is_alive())  # noqa: B023
        writer.join(LIMIT_S)
        assert len(written) == FILES
    finally:
        run("umount", str(tmp_path))
    Path("/proc/sys/vm/drop_caches").write_text("3\n")
    check = ("fsck.ext4", "-f", "-n") if kind == "ext4" else ("xfs_repair", "-n")
    run(*check, disk)
    run("mount", "-o", "ro", "-t", kind, disk, str(tmp_path))
    try:
        read = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in tmp_path.glob("file*")}
    finally:
        run("umount", str(tmp_path))
    assert read == written


def _write(directory: Path, written: dict[str, str]) -> None:
    """Write files of random bytes, each of which is on the disk before the next begins."""
    for number in range(FILES):
        data = os.urandom(FILE_BYTES)
        with (directory / f"file{number}").open("wb") as file:
            file.write(data)
            os.fsync(file.fileno())
        written[f"file{number}"] = hashlib.sha256(data).hexdigest()


def test_fio_finds_no_wrong_byte_after_connections_were_dropped(initiator: Initiator) -> None:
    disk = initiator.disk(1)
    statistics = Path("/sys/class/block") / disk.name / "stat"

    def written() -> int:
        return int(statistics.read_text().split()[4])

    with subprocess.Popen([*FIO, f"--filename={disk}"], stdout=subprocess.PIPE, text=True) as fio:
        for _ in range(DROPS):
            before = written()
            eventually(lambda: written() > before, reason="fio to write")  # noqa: B023
            initiator.drop()
        printed, _ = fio.communicate(timeout=LIMIT_S)
        assert fio.returncode == 0, printed
    (job,) = json.loads(printed)["jobs"]
    assert (job["error"], job["write"]["io_bytes"], job["read"]["io_bytes"]) == (0, 24 << 20, 24 << 20)


def test_smartctl(initiator: Initiator) -> None:
    disk = str(initiator.disk(0))
    printed = run("smartctl", "-i", disk)
    listed = dict(line.split(":", 1) for line in printed.splitlines() if ":" in line)
    said = {key: value.strip() for key, value in listed.items()}
    assert (said["Vendor"], said["Product"], said["Revision"]) == ("MIDLAYER", "For ext4", "0001")
    assert said["User Capacity"].startswith("67,108,864 bytes")
    assert said["Logical block size"] == "512 bytes"
    assert f"Unit serial number: {said['Serial number']}" in run("sg_inq", "--page=sn", disk)
    wwid = (initiator.devices()[0] / "wwid").read_text().strip()
    assert said["Logical Unit id"] == wwid.replace("naa.", "0x")
    assert "SMART Health Status: OK" in run("smartctl", "-H", disk)


def test_persistent_reservations(initiator: Initiator) -> None:
    disk = str(initiator.disk(0))
    persist = ("sg_persist", "--no-inquiry")
    run(*persist, "--out", "--register", "--param-sark=0xabc", disk)
    try:
        assert "0xabc" in run(*persist, "--in", "--read-keys", disk)
        run(*persist, "--out", "--reserve", "--param-rk=0xabc", "--prout-type=5", disk)
        held = run(*persist, "--in", "--read-reservation", disk)
        assert "Key=0xabc" in held
        assert "Write Exclusive, registrants only" in held
        initiator.drop()  # a registration outlives its session
        assert "0xabc" in run(*persist, "--in", "--read-keys", disk)
    finally:
        run(*persist, "--out", "--clear", "--param-rk=0xabc", disk)
    assert "NO registered" in run(*persist, "--in", "--read-keys", disk)


def test_luns_come_and_go(initiator: Initiator) -> None:
    rescan = ("iscsiadm", "-m", "session", "--rescan")
    with Client(initiator.up.socket) as client:
        client.post("plug", host=HOST, device="virtual:disk?lun=2&size=8M&product=Late")
    run(*rescan)
    disk = initiator.disk(2)  # which is in sysfs a moment before it can be opened
    assert eventually(disk.read_bytes, reason="a disk that can be read") == bytes(8 << 20)
    with Client(initiator.up.socket) as client:
        client.post("unplug", device=f"{HOST}:0:0:2")
    assert subprocess.run(["sg_turs", str(disk)], check=False, capture_output=True).returncode != 0
    (initiator.devices()[2] / "delete").write_text("1\n")
    run(*rescan)
    assert sorted(initiator.devices()) == [0, 1]
