"""What rules make of one event: everything that would be done, and why; nothing of it is done here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from midlayer.rules.text import one_line


class Run(NamedTuple):
    """One entry of RUN.

    Attributes:
        kind: ``program`` or ``builtin``.
        command: As the rule has it, substitutions made.
        words: The same in words: program and arguments. No shell is meant to see them.
        file, line: The rule.
    """

    kind: str
    command: str
    words: tuple[str, ...]
    file: str
    line: int


class Matched(NamedTuple):
    """A rule that applied.

    Attributes:
        file, line: Where it is.
        effects: What it did, a text each: ``SYMLINK disk/by-id/…``.
    """

    file: str
    line: int
    effects: tuple[str, ...]


class Write(NamedTuple):
    """A file that a rule would write: an attribute of sysfs, or a kernel parameter."""

    key: str
    path: str
    value: str
    file: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What rules make of one event.

    Attributes:
        devpath, action: Which event.
        properties: The device's properties afterwards, in the order in which they came; names that begin
            with a dot are private to the rules and left out.
        private: Those.
        links: Names below ``/dev``, in order.
        name: NAME, for a network interface; else the kernel's name.
        owner, group: Numbers, or None if no rule said.
        owner_name, group_name: As the rule has them; empty if no rule said.
        mode: Or None.
        tags: In order.
        run: What would run, in order.
        writes: Attributes and kernel parameters that would be written, in order.
        seclabels: Security labels by module.
        link_priority: Among devices that claim the same link.
        watch: True and False if a rule says; else None.
        db_persist: OPTIONS="db_persist".
        matched: Rules that applied, in order.
        notes: What could not be done, with file and line.
    """

    devpath: str
    action: str
    properties: Mapping[str, str]
    private: Mapping[str, str]
    links: tuple[str, ...]
    name: str
    owner: int | None
    group: int | None
    owner_name: str
    group_name: str
    mode: int | None
    tags: tuple[str, ...]
    run: tuple[Run, ...]
    writes: tuple[Write, ...]
    seclabels: Mapping[str, str]
    link_priority: int
    watch: bool | None
    db_persist: bool
    matched: tuple[Matched, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as documented for ``midlayer rules test --json``."""
        return {
            "devpath": one_line(self.devpath),
            "action": one_line(self.action),
            "matched": [
                {
                    "file": one_line(rule.file),
                    "line": rule.line,
                    "effects": [one_line(effect) for effect in rule.effects],
                }
                for rule in self.matched
            ],
            "properties": {one_line(key): one_line(text) for key, text in self.properties.items()},
            "links": [one_line(link) for link in self.links],
            "name": one_line(self.name),
            "owner": one_line(self.owner_name),
            "group": one_line(self.group_name),
            "mode": None if self.mode is None else f"{self.mode:04o}",
            "tags": list(self.tags),
            "run": [
                {
                    "kind": run.kind,
                    "command": one_line(run.command),
                    "file": one_line(run.file),
                    "line": run.line,
                }
                for run in self.run
            ],
            "writes": [
                {"key": write.key, "path": one_line(write.path), "value": one_line(write.value)}
                for write in self.writes
            ],
            "link_priority": self.link_priority,
            "notes": [one_line(note) for note in self.notes],
        }
