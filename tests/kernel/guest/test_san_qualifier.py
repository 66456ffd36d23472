"""A LUN of a SAN with the wrong qualifier: Linux's own initiator finds it, and midlayer keeps it back.

The SAN is a daemon of ours with an iSCSI target, one of whose LUNs answers INQUIRY with qualifier 001b.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from midlayer.frontends.cli.client import Client

from .eventually import eventually
from .open_iscsi import PORTAL, logged_in, run
from .running import Up
from .scsi_debug import SCSI_DEVICES

IQN = "iqn.2026-11.io.midlayer:san"
HOST = 100
SAN = f"""
[[host]]
driver = "virtual"
host_no = {HOST}

[[host.unit]]
size = "8M"
vendor = "SAN"
product = "Mapped"

[[host.unit]]
lun = 1
size = "8M"
vendor = "SAN"
product = "Not mapped"

[[fault]]
name = "unmapped"
device = "{HOST}:0:0:1"
qualifier = "001b"

[[target]]
iqn = "{IQN}"
portals = ["{PORTAL}"]

[[target.lun]]
lun = 0
device = "{HOST}:0:0:0"

[[target.lun]]
lun = 1
device = "{HOST}:0:0:1"
"""
PROBE_S = 4.0
LATE_S = 20.0
"""How long the kernel may take, under emulation, to delete the device, find it again and tell of it."""

QUARANTINE = f"""
[[quarantine]]
vendor = "SAN"
qualifier = "001b"
probe_s = {PROBE_S}
max_probe_s = {PROBE_S}
action = "{{action}}"
"""
DOCUMENT_001 = """\
SUBSYSTEM=="scsi_generic", KERNEL=="sg[0-9]*", RUN+="/usr/sbin/sg-test.sh $tempnode $kernel"
"""
SCRIPT = """\
#! /bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
[ "$ACTION" = "remove" ] && exit 0
sg_inq "$1" | grep -q "PQual=1.*PDT=0" || exit 0
sg_inq "$1" | grep -q "Vendor identification: SAN" || exit 0
echo 1 > "/sys/class/scsi_generic/$2/device/delete"
echo "$ACTION $1 $2 deleted"
"""

Start = Callable[..., Up]


@pytest.fixture(scope="module")
def san(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    run("modprobe", "iscsi_tcp")
    run("ip", "link", "set", "lo", "up")
    up = Up(tmp_path_factory.mktemp("san"), SAN, kernel=False)
    up.start()
    yield up
    up.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the daemon of the machine whose kernel has the initiator."""
    running: list[Up] = []

    def begin(config: str) -> Up:
        running.append(Up(tmp_path, config))
        running[-1].start()
        return running[-1]

    yield begin
    for each in running:
        each.close()


@contextmanager
def unmapped(san: Up) -> Iterator[None]:
    """Have LUN 1 answer with qualifier 001b, from before the login on, and say so again at the end."""
    if not san.get("faults")["items"]:
        san.post("faults", name="unmapped", device=f"{HOST}:0:0:1", qualifier="001b")
    with logged_in(IQN):
        yield


def map_it(san: Up) -> float:
    """Have LUN 1 answer with qualifier 000b, and return when, in seconds since boot."""
    with Client(san.socket) as client:
        client.delete("faults", name="unmapped")
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def kernel_device(lun: int) -> Path | None:
    for device in SCSI_DEVICES.glob(f"*:*:*:{lun}"):
        if (device / "vendor").read_text().strip() == "SAN":
            return device
    return None


def attached(up: Up) -> dict[int, dict[str, object]]:
    return {
        int(item["address"].rpartition(":")[2]): item
        for item in up.items("attached")
        if item["vendor"] == "SAN"
    }


@pytest.mark.parametrize("how", ["hold", "remove"])
def test_it_is_kept_back_and_attached_once_it_is_mapped(san: Up, start: Start, how: str) -> None:
    up = start(QUARANTINE.format(action=how))
    since = up.get("status")["event_count"]
    with unmapped(san):
        (item,) = eventually(lambda: up.get("quarantined")["items"], reason="the quarantine")
        assert (item["vendor"], item["model"], item["qualifier"]) == ("SAN", "Not mapped", "001b")
        address = item["address"]
        eventually(lambda: set(attached(up)) == {0}, reason="the good LUN alone")
        if how == "remove":
            eventually(lambda: not (SCSI_DEVICES / address).exists(), reason="the deletion")
        else:
            assert (SCSI_DEVICES / address / "generic").exists(), "the kernel has it, and sg has a node"
        assert [event for event in up.events(since, "attach") if event["address"] == address] == [], (
            "no upper-level driver has seen it"
        )
        mapped_s = map_it(san)
        found = eventually(lambda: attached(up).get(1), reason="the attach")
        late_s = float(str(found["attached_since_boot_s"])) - mapped_s
        print(f"{how}: attached {late_s:.2f} s after its qualifier was 000b, asked every {PROBE_S:g} s")
        assert late_s <= PROBE_S + LATE_S
        assert found["qualifier"] == "000b"
        assert up.get("quarantined")["items"] == []
        disk = eventually(lambda: os.listdir(SCSI_DEVICES / address / "block"), reason="sd")
        assert len(disk) == 1, "the kernel's disk driver has it as well"
    assert up.stop() == 0


def test_the_rule_and_script_of_document_001(san: Up, start: Start, tmp_path: Path) -> None:
    """As they stand there, at their place: the kernel's device of qualifier 001b is deleted."""
    (tmp_path / "rules.d").mkdir()
    (tmp_path / "rules.d/50-test-sg.rules").write_text(DOCUMENT_001)
    with _overlay(Path("/usr/sbin"), tmp_path):
        script = Path("/usr/sbin/sg-test.sh")
        script.write_text(SCRIPT)
        script.chmod(0o755)
        up = start('\n[rules]\ndirectories = ["rules.d"]\n')
        with unmapped(san):
            eventually(lambda: kernel_device(0), reason="the good LUN")
            eventually(
                lambda: any(
                    run["output"].endswith("deleted\n")
                    for event in up.get("events")["items"]
                    for run in event.get("agents", [])
                ),
                reason="the script",
            )
            eventually(lambda: kernel_device(1) is None, reason="the deletion")
            eventually(lambda: set(attached(up)) == {0}, reason="the detach")
        assert up.stop() == 0


@contextmanager
def _overlay(directory: Path, upper: Path) -> Iterator[None]:
    """Make a directory of the guest's read-only root writable."""
    subprocess.run(["modprobe", "overlay"], check=True)
    layers = upper / "layers"
    subprocess.run(["mkdir", "-p", str(layers)], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(layers)], check=True)
    for name in ("upper", "work"):
        (layers / name).mkdir()
    options = f"lowerdir={directory},upperdir={layers}/upper,workdir={layers}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)
        subprocess.run(["umount", "-l", str(layers)], check=True)
