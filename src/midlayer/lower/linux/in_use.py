"""Who uses a kernel device: mounts, swap, devices stacked on it, commands on their way."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from midlayer.lower.linux.sysfs import read_file

_OCTAL = re.compile(r"\\([0-7]{3})")


def who_uses(device_path: Path, proc: Path) -> str:
    """Say who uses a device, or return an empty string.

    Args:
        device_path: Its directory in sysfs.
        proc: Where procfs is mounted.

    Returns:
        Text such as ``mounted on /srv, swap, held by dm-0``.
    """
    numbers, names, holders = set(), set(), []
    for block in _block_directories(device_path):
        numbers.add(_line(block / "dev"))
        names.add(block.name)
        holders += _entries(block / "holders")
    found = [f"mounted on {point}" for point in _mount_points(proc, numbers, names)]
    found += ["swap"] if _swaps(proc) & names else []
    found += [f"held by {name}" for name in sorted(set(holders))]
    busy = _line(device_path / "device_busy")
    if not found and busy.isdigit() and int(busy):
        found.append(f"{busy} commands in flight")
    return ", ".join(found)


def _block_directories(device_path: Path) -> Iterator[Path]:
    """Give the directories of the disk and of its partitions."""
    for name in _entries(device_path / "block"):
        disk = device_path / "block" / name
        yield disk
        for part in _entries(disk):
            if (disk / part / "partition").exists():
                yield disk / part


def _mount_points(proc: Path, numbers: set[str], names: set[str]) -> list[str]:
    found = []
    for line in _lines(proc / "self/mountinfo"):
        fields, _, rest = line.partition(" - ")
        _, _, number, _, point, *_ = (*fields.split(" "), "", "", "", "", "")
        # btrfs shows a number of its own there, so that the source's name has to do.
        source = Path([*rest.split(" "), ""][1])
        if number in numbers or (source.parts[:2] == ("/", "dev") and source.name in names):
            found.append(_OCTAL.sub(lambda match: chr(int(match[1], 8)), point))
    return sorted(set(found))


def _swaps(proc: Path) -> set[str]:
    return {Path(line.split()[0]).name for line in _lines(proc / "swaps")[1:] if line.strip()}


def _lines(path: Path) -> list[str]:
    return (read_file(path) or b"").decode("utf-8", "surrogateescape").splitlines()


def _line(path: Path) -> str:
    return "".join(_lines(path)[:1]).strip()


def _entries(path: Path) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []
