"""A device in rule syntax: the walk up its parents, and the lines of udev's database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from midlayer.rules.text import one_line
from midlayer.rules.view import DeviceView, chain

_PREFACE = (
    "The walk begins with the device and goes up its parents. A rule can match attributes of the device,",
    "and of one single parent.",
)


def attribute_walk(view: DeviceView) -> Iterator[str]:
    """Yield lines: for the device and each parent, every match that a rule can make of it."""
    yield from _PREFACE
    for step in chain(view):
        plural = "" if step is view else "S"
        yield ""
        yield f"  looking at {'device' if step is view else 'parent device'} '{one_line(step.devpath)}':"
        yield f"    KERNEL{plural}=={_quoted(step.sysname)}"
        yield f"    SUBSYSTEM{plural}=={_quoted(step.subsystem)}"
        yield f"    DRIVER{plural}=={_quoted(step.driver)}"
        for name, value in _attributes(step):
            yield f"    ATTR{plural}{{{one_line(name)}}}=={_quoted(value)}"


def attributes_json(view: DeviceView) -> list[dict[str, Any]]:
    """Return the same walk as values."""
    return [
        {
            "devpath": one_line(step.devpath),
            "kernel": one_line(step.sysname),
            "subsystem": step.subsystem,
            "driver": step.driver,
            "attributes": {one_line(name): one_line(value) for name, value in _attributes(step)},
        }
        for step in chain(view)
    ]


def _attributes(view: DeviceView) -> Iterator[tuple[str, str]]:
    """Yield the attributes that are text; a rule can say nothing of the others."""
    for name in view.attribute_names():
        value = view.attribute(name)
        if value is not None and name not in ("subsystem", "driver") and _is_text(value):
            yield name, value.rstrip()


def _is_text(value: str) -> bool:
    return not any(character < " " or "\ud800" <= character <= "\udfff" for character in value)


def _quoted(value: str) -> str:
    """Return a value as a rule has it; a quote needs a backslash."""
    return '"' + one_line(value).replace('"', '\\"') + '"'


def database_lines(view: DeviceView, properties: Mapping[str, str]) -> Iterator[str]:
    """Yield a device as ``udevadm info`` prints one: P, M, R, U, T, D, N, S, E."""
    kind = "b" if view.subsystem == "block" else "c"
    number = f"{kind} {view.devnum[0]}:{view.devnum[1]}" if view.devnum else ""
    links = properties.get("DEVLINKS", "").split()
    for letter, text in (
        ("P", view.devpath),
        ("M", view.sysname),
        ("R", view.sysnum),
        ("U", view.subsystem),
        ("T", properties.get("DEVTYPE", "")),
        ("D", number),
        ("N", view.devnode.removeprefix("/dev/")),
        *(("S", link.removeprefix("/dev/")) for link in sorted(links)),
        ("V", view.driver),
        *(("E", f"{key}={text}") for key, text in sorted(properties.items())),
    ):
        if text:
            yield f"{letter}: {one_line(text)}"
