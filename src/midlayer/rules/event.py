"""One event while rules are applied to it: what it has gathered so far."""

from __future__ import annotations

import re
from enum import Enum, auto

from midlayer.rules.environment import Environment, ProgramResult
from midlayer.rules.keys import Kind
from midlayer.rules.outcome import Matched, Outcome, Run, Write
from midlayer.rules.parser import Rule
from midlayer.rules.substitutions import Format
from midlayer.rules.text import encode, split_command
from midlayer.rules.view import DeviceView

_OTHER_DEVICE = re.compile(r"\[([^/\]]+)/([^\]]+)\]/?(.*)", re.DOTALL)


class Escaping(Enum):
    """OPTIONS="string_escape=…" of the rule at hand."""

    UNSET = auto()
    NONE = auto()
    REPLACE = auto()


class Event:
    """One event.

    Attributes:
        view: The device.
        sysname, devpath: Its name and path, which many rules ask for.
        action: ``add``, ``change``, ``remove`` …
        parent: The device that the last rule with KERNELS, SUBSYSTEMS … found; for $id, $driver, $attr.
        result: What the last PROGRAM printed, or None.
        escaping: How values are escaped in the rule at hand.
        final: Kinds that a := has closed.
    """

    def __init__(self, view: DeviceView, action: str, environment: Environment, *, timeout_s: float) -> None:
        self.view: DeviceView = view
        self.sysname = view.sysname
        self.devpath = view.devpath
        self.action = action
        self.environment = environment
        self.timeout_s = timeout_s
        self.properties = {"ACTION": action, **view.properties}
        self.links: dict[str, None] = {}
        self.tags: dict[str, None] = dict.fromkeys(view.tags)
        self.all_tags = dict(self.tags)  # a tag that is taken away still matches
        self.name = ""
        self.owner: int | None = None
        self.group: int | None = None
        self.names: dict[Kind, str] = {}
        self.mode: int | None = None
        self.seclabels: dict[str, str] = {}
        self.run: list[Run] = []
        self.writes: list[Write] = []
        self.link_priority = 0
        self.watch: bool | None = None
        self.db_persist = False
        self.final: set[Kind] = set()
        self.parent: DeviceView | None = None
        self.result: str | None = None
        self.escaping = Escaping.UNSET
        self.builtins: dict[str, bool] = {}
        self.matched: list[Matched] = []
        self.notes: list[str] = []
        self.rule: Rule | None = None
        self.effects: list[str] = []

    def property(self, key: str) -> str | None:
        """Return a property as it is now."""
        if key == "DEVLINKS":
            return " ".join(f"/dev/{link}" for link in self.links) or None
        if key == "TAGS":
            return f":{':'.join(self.all_tags)}:" if self.all_tags else None
        if key == "CURRENT_TAGS":
            return f":{':'.join(self.tags)}:" if self.tags else None
        return self.properties.get(key)

    def exported(self) -> dict[str, str]:
        """Return all properties as a program gets them."""
        found = dict(self.properties)
        for key in ("DEVLINKS", "TAGS", "CURRENT_TAGS"):
            if value := self.property(key):
                found[key] = value
        return found

    def attribute(self, view: DeviceView, name: str) -> str | None:
        """Return an attribute of a device, or of another one: ``[subsystem/sysname]attribute``."""
        if not name.startswith("["):
            return view.attribute(name)
        other, attribute = self.other(name)
        if other is None or not attribute:
            return None
        return other.attribute(attribute) or ""

    def other(self, name: str) -> tuple[DeviceView | None, str]:
        """Return the device and the attribute of ``[subsystem/sysname]attribute``."""
        match = _OTHER_DEVICE.fullmatch(name)
        if match is None:
            return None, ""
        return self.environment.device(match[1], match[2]), match[3]

    def path(self, name: str) -> str:
        """Return the path that TEST or ATTR means: absolute, of another device, or below this one."""
        if name.startswith("/"):
            return name
        other, attribute = self.other(name)
        if other is not None:
            return f"/sys{other.devpath}/{attribute}".rstrip("/")
        return f"/sys{self.view.devpath}/{name}"

    def resolve_star(self, path: str) -> str | None:
        """Return a path with its first ``/*/`` replaced by a directory that fits; None if none does."""
        head, star, tail = path.partition("/*/")
        if not star:
            return path
        for name in self.environment.entries(head):
            candidate = f"{head}/{name}/{tail}"
            if not name.startswith(".") and self.environment.mode(candidate) is not None:
                return candidate
        return None

    def expand(self, value: Format, most: int, *, join_words: bool = False) -> str | None:
        """Return a value with its substitutions made; None, with a note, if udev has no room for it."""
        text = value.apply(self, join_words=join_words)
        if len(text) * 4 < most or len(encode(text)) < most:
            return text
        self.note(f"the value of {value.text[:40]!r} is longer than {most - 1} bytes, ignored")
        return None

    def execute(self, command: str) -> ProgramResult:
        """Run the program of PROGRAM or IMPORT."""
        words = split_command(command)
        if not words:
            return ProgramResult(None, "", "the command is empty")
        result = self.environment.run_program(self.view, words, self.exported(), self.timeout_s)
        if result.status is None:
            self.note(f"{command!r} was not run: {result.why}")
        return result

    def note(self, text: str) -> None:
        """Remember what could not be done."""
        place = f"{self.rule.file}:{self.rule.line}: " if self.rule else ""
        self.notes.append(place + text)

    def effect(self, text: str) -> None:
        """Remember what the rule at hand did."""
        self.effects.append(text)

    def write(self, key: str, path: str, value: str) -> None:
        """Remember a file that would be written."""
        assert self.rule is not None
        self.writes.append(Write(key, path, value, self.rule.file, self.rule.line))

    def outcome(self) -> Outcome:
        """Return what all of it comes to."""
        exported = self.exported()
        mode = self.mode
        if mode is None and self.group is not None and self.view.devnum is not None:
            mode = 0o660 if self.group > 0 else 0o600  # what udev gives a node whose group a rule names
        return Outcome(
            devpath=self.view.devpath,
            action=self.action,
            properties={key: value for key, value in exported.items() if not key.startswith(".")},
            private={key: value for key, value in exported.items() if key.startswith(".")},
            links=tuple(self.links),
            name=self.name or self.view.sysname,
            owner=self.owner,
            group=self.group,
            owner_name=self.names.get(Kind.OWNER, ""),
            group_name=self.names.get(Kind.GROUP, ""),
            mode=mode,
            tags=tuple(self.tags),
            run=tuple(self.run),
            writes=tuple(self.writes),
            seclabels=self.seclabels,
            link_priority=self.link_priority,
            watch=self.watch,
            db_persist=self.db_persist,
            matched=tuple(self.matched),
            notes=tuple(self.notes),
        )
