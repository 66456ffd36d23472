"""Rules: events a second with twenty rule files, and one event against ``udevadm test`` of the same rules."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Ratio, line, seconds_of
from midlayer.rules import PlainEnvironment, PlainView, RuleSet, SystemEnvironment
from midlayer.rules.ruleset import DIRECTORIES
from midlayer.rules.sysfs_view import SysfsView

FILES = 20
RULES_A_FILE = 40
EVENTS = 200
EVENTS_GOAL = 1500
ROUNDS = 5
DEVICE = "/sys/class/mem/null"
_CACHED = Path.home() / ".cache/midlayer/udev/udev/bin/udevadm"

_RULE = """\
SUBSYSTEM=="block", KERNEL=="sd{letter}*", ATTRS{{vendor}}=="V{n}*", ENV{{X{n}}}="$attr{{model}}"
SUBSYSTEM=="scsi_generic", KERNEL=="sg[0-9]*", ATTRS{{type}}=="{n}", RUN+="/bin/x{n} $devnode"
SUBSYSTEM=="net|tty|input", ENV{{Y{n}}}=="?*", NAME="x{n}"
ACTION=="add", KERNEL=="sd{letter}", ENV{{DEVTYPE}}=="disk", SYMLINK+="l/{n}-$env{{DEVTYPE}}-$kernel"
"""


def run() -> Iterator[str]:
    """Yield the lines of the report."""
    rules = RuleSet.of_texts(
        {
            f"{file:02}.rules": "".join(
                _RULE.format(n=file * 100 + n, letter="abcdefgh"[n % 8]) for n in range(RULES_A_FILE // 4)
            )
            for file in range(FILES)
        }
    )
    disk = _disk()
    environment = PlainEnvironment()
    rules.apply(disk, "add", environment)
    one_s = min(_processor_seconds(rules, disk, environment) for _ in range(ROUNDS))
    mark = "ok  " if 1 / one_s >= EVENTS_GOAL else "MISS"
    applied = len(rules.apply(disk, "add", environment).matched)
    yield (
        f"{mark} events a second of one processor, {FILES} files, {len(rules)} rules,"
        f" {applied} of them apply: {1 / one_s:.0f}, goal {EVENTS_GOAL}"
    )
    yield from _against_udevadm()


def _processor_seconds(rules: RuleSet, disk: PlainView, environment: PlainEnvironment) -> float:
    """Return the seconds of one processor that an event takes: there is nothing to wait for."""
    begin = time.process_time()
    for _ in range(EVENTS):
        rules.apply(disk, "add", environment)
    return (time.process_time() - begin) / EVENTS


def _against_udevadm() -> Iterator[str]:
    """Compare on a device that every machine has, with the rules that this machine has."""
    udevadm = shutil.which("udevadm") or (str(_CACHED) if _CACHED.exists() else None)
    view = SysfsView.find(DEVICE)
    if udevadm is None or view is None:
        yield "     udevadm: not here (python -m tests.udev_packages fetches it)"
        return
    command = [udevadm, "test", DEVICE]

    def theirs() -> None:
        subprocess.run(command, check=True, capture_output=True)

    def ours() -> None:
        again = SysfsView.find(DEVICE)
        assert again is not None
        RuleSet.load(DIRECTORIES).apply(again, "add", environment)

    loaded, environment = RuleSet.load(DIRECTORIES), SystemEnvironment()

    def loaded_once() -> None:
        again = SysfsView.find(DEVICE)
        assert again is not None
        loaded.apply(again, "add", environment)

    base_s = min(seconds_of(theirs, 3) for _ in range(ROUNDS))
    name = f"one event, {len(loaded)} rules read first / udevadm test"
    yield line(Ratio(name, min(seconds_of(ours, 2) for _ in range(ROUNDS)), base_s), "no goal", met=True)
    kept = Ratio(
        "one event, rules kept / udevadm test", min(seconds_of(loaded_once, 20) for _ in range(5)), base_s
    )
    yield line(kept, "goal below 1", met=kept.cost < 1)
    whole = [sys.executable, "-m", "midlayer", "rules", "test", DEVICE]

    def program() -> None:
        subprocess.run(whole, check=True, capture_output=True)

    both = Ratio(
        "midlayer rules test, as a program / udevadm test",
        min(seconds_of(program, 1) for _ in range(ROUNDS)),
        base_s,
    )
    yield line(both, "no goal: it starts Python", met=True)
    yield "     udevadm test: starts, opens the hardware database, reads all rules, applies them once"
    yield "     rules read first: the same files read and applied by a process that runs; kept: applied alone"


def _disk() -> PlainView:
    unit = PlainView(
        devpath="/devices/x/host0/target0:0:0/0:0:0:0",
        subsystem="scsi",
        attributes={"vendor": "V1200\n", "model": "Disk\n", "type": "0\n"},
    )
    return PlainView(
        devpath=f"{unit.devpath}/block/sda",
        subsystem="block",
        devnode="/dev/sda",
        devnum=(8, 0),
        own_properties={"DEVTYPE": "disk"},
        parent=unit,
    )
