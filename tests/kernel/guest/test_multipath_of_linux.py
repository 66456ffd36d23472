"""One disk by two portals, each with its target port group: Linux's multipath, ALUA, and paths that fail."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .eventually import LIMIT_S, eventually
from .nodes import settle
from .open_iscsi import INITIATOR, Initiator, logged_in, node, run
from .running import Up

IQN = "iqn.2026-11.io.midlayer:paths"
SECOND = "10.77.0.2"
PORTALS = ("127.0.0.1:3260,1", f"{SECOND}:3260,2")
HOST = 101
UNIT = f"{HOST}:0:0:0"
DISK_BYTES = 128 << 20
CONFIG = f"""
[[host]]
driver = "virtual"
host_no = {HOST}

[[host.unit]]
size = "{DISK_BYTES >> 20}M"
product = "Two paths"
alua = "optimized, standby"

[[target]]
iqn = "{IQN}"
portals = ["127.0.0.1:3260", "{SECOND}:3260,2"]
initiators = ["{INITIATOR}"]

[[target.lun]]
device = "{UNIT}"
"""
SETTINGS = {
    "node.session.timeo.replacement_timeout": "1",
    "node.conn[0].timeo.noop_out_interval": "2",
    "node.conn[0].timeo.noop_out_timeout": "10",
}
MULTIPATH_CONF = """
defaults {
    find_multipaths no
    user_friendly_names no
    polling_interval 1
    max_polling_interval 1
    path_checker tur
    prio alua
    path_grouping_policy group_by_prio
    failback immediate
    no_path_retry 60
}
blacklist {
    device {
        vendor "QEMU"
    }
}
"""
MODULES = ("dm_service_time", "dm_multipath", "scsi_dh_alua")
FIO_BYTES = 8 << 20
FIO = (
    *("fio", "--name=paths", "--rw=randwrite", "--bs=4k", f"--size={FIO_BYTES}", "--direct=1"),
    *("--ioengine=libaio", "--iodepth=8", "--rate=,1m", "--verify=crc32c", "--verify_fatal=1"),
    "--output-format=json",
)
"""Eight seconds of writes, then it reads all of them back."""
OPTIMIZED, STANDBY = 50, 1
"""What multipath's priorities mean."""


class Paths:
    """The two disks, and the map over them."""

    def __init__(self, initiator: Initiator) -> None:
        self.initiator = initiator
        eventually(self._both, reason="two disks")
        self.devices = {self._group(one): one for one in initiator.all_devices()}
        assert len({(one / "wwid").read_text() for one in self.devices.values()}) == 1

    def _both(self) -> bool:
        devices = self.initiator.all_devices()
        return len(devices) == 2 and all((one / "block").exists() for one in devices)

    def _group(self, device: Path) -> int:
        """Return the target port group that a disk is reached through."""
        page = (device / "vpd_pg83").read_bytes()
        return int.from_bytes(page[page.index(bytes((1, 0x15, 0, 4))) + 6 :][:2], "big")

    def disk(self, group: int) -> str:
        return str(node(self.devices[group]))

    def written(self, group: int) -> int:
        """Return how many writes a disk has completed."""
        stat = Path("/sys/class/block") / Path(self.disk(group)).name / "stat"
        return int(stat.read_text().split()[4])

    def states(self) -> list[str]:
        """Return what multipathd says of the paths of its one map: ``active``, ``failed``."""
        return [path["dm_st"] for one in maps() for group in one["path_groups"] for path in group["paths"]]

    def priorities(self) -> list[int]:
        """Return the priorities of the groups of paths, highest first."""
        return sorted((group["pri"] for one in maps() for group in one["path_groups"]), reverse=True)

    def are_two_groups(self) -> bool:
        """Return whether each path has its group; if not, Linux has made both active, and we say it again."""
        if self.priorities() == [OPTIMIZED, STANDBY]:
            return True
        self.initiator.up.post("change", device=UNIT, settings={"alua": "optimized,standby"})
        return False

    def goes_by(self, group: int) -> None:
        """Wait until writes go by one path, and no more by the other."""

        def there() -> bool:
            before = self.written(1), self.written(2)
            eventually(lambda: (self.written(1), self.written(2)) != before, reason="a write")
            now = self.written(1), self.written(2)
            return now[group - 1] > before[group - 1] and now[2 - group] == before[2 - group]

        eventually(there, reason=f"writes by path {group}")


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Paths]:
    run("modprobe", "-a", "iscsi_tcp", *MODULES)
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{SECOND}/32", "dev", "lo")
    up = Up(tmp_path, CONFIG)
    up.start()
    try:
        with logged_in(IQN, PORTALS, SETTINGS):
            found = Paths(Initiator(up))
            with _multipathd(found):
                yield found
        assert up.stop() == 0
    finally:
        up.close()
        run("ip", "address", "delete", f"{SECOND}/32", "dev", "lo")
        # It would ask each later disk for its port groups, and be told the unit attentions of others.
        run("modprobe", "-r", *MODULES)


@contextmanager
def _multipathd(paths: Paths) -> Iterator[None]:
    # A path that comes by itself would be made active as the only one there is.
    settle()
    configuration = Path("/etc/multipath.conf")
    configuration.write_text(MULTIPATH_CONF)
    try:
        with _served(paths) as name:
            yield
        flush = ["multipath", "-f", name]
        eventually(
            lambda: subprocess.run(flush, check=False, capture_output=True).returncode == 0,
            interval_s=0.5,
            reason="udev to let go of the map",
        )
    finally:
        configuration.unlink()  # by which udev would take each later disk for a path


@contextmanager
def _served(paths: Paths) -> Iterator[str]:
    """Run multipathd from when each path has its group, and give the name of the map."""
    with subprocess.Popen(["multipathd", "-d", "-s"]) as multipathd:
        try:
            eventually(lambda: len(paths.states()) == 2, reason="a map of two paths")
            (name,) = [one["name"] for one in eventually(maps)]
            eventually(paths.are_two_groups, interval_s=2, reason="a group for each path")
            yield name
        finally:
            multipathd.terminate()
            multipathd.wait(LIMIT_S)


def maps() -> list[dict[str, Any]]:
    """Return the maps of multipathd; none while it does not answer."""
    command = ["multipathd", "show", "maps", "json"]
    shown = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    return list(json.loads(shown)["maps"]) if shown.startswith("{") else []


@contextmanager
def fio(disk: Path) -> Iterator[None]:
    """Have fio write and verify, one stretch of the disk after the other, until the end, however late."""
    over = threading.Event()
    runs: list[subprocess.CompletedProcess[str]] = []

    def work() -> None:
        while not over.is_set() and not any(each.returncode for each in runs):
            number = len(runs)  # none finds what an earlier one has written
            place = f"--offset={number * FIO_BYTES % DISK_BYTES}", f"--randseed={number}"
            command = [*FIO, f"--filename={disk}", *place]
            runs.append(subprocess.run(command, check=False, capture_output=True, text=True))

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()
        print([(each.returncode, each.stderr) for each in runs])
    for each in runs:
        assert each.returncode == 0, each
        (job,) = json.loads(each.stdout)["jobs"]
        assert (job["error"], job["write"]["io_bytes"], job["read"]["io_bytes"]) == (0, FIO_BYTES, FIO_BYTES)


def test_writes_go_on_by_the_other_path(paths: Paths) -> None:
    (shown,) = eventually(maps)
    with fio(Path("/dev/mapper", shown["name"])):
        paths.goes_by(1)
        # The administrator takes the first group away; Linux asks for the second one to be active.
        paths.initiator.up.post("change", device=UNIT, settings={"alua": "unavailable,standby"})
        paths.goes_by(2)
        assert "unavailable" in run("sg_rtpg", "-d", paths.disk(2))
        # And gives it back.
        paths.initiator.up.post("change", device=UNIT, settings={"alua": "standby,optimized"})
        # The second portal is gone, connection and address: Linux makes the first group active again.
        run("ip", "address", "delete", f"{SECOND}/32", "dev", "lo")
        for session in paths.initiator.up.get("target-sessions")["items"]:
            if session["portal_group"] == 2:
                paths.initiator.cut(session["session"])
        paths.goes_by(1)
        eventually(lambda: "failed" in paths.states(), reason="multipathd to know of it")
        run("ip", "address", "add", f"{SECOND}/32", "dev", "lo")
        eventually(lambda: "failed" not in paths.states(), reason="the path again")
