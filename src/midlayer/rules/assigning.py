"""Assignments, a function each: what a rule that applies adds to the event."""

from __future__ import annotations

import re
from collections.abc import Callable

from midlayer.rules.event import Escaping, Event
from midlayer.rules.keys import Kind
from midlayer.rules.lexer import Operator
from midlayer.rules.matching import sysctl_path
from midlayer.rules.outcome import Run
from midlayer.rules.parser import Token
from midlayer.rules.substitutions import MOST_NAME, MOST_PATH
from midlayer.rules.text import replace_characters, split_command

Assigner = Callable[[Event, Token], None]

_TAG = re.compile(r"[A-Za-z0-9_-]+")
_OCTAL = re.compile(r"0*[0-7]{1,4}", re.ASCII)
_REPLACING = (Operator.ASSIGN, Operator.ASSIGN_FINAL)


def _closed(event: Event, token: Token, kind: Kind) -> bool:
    """Return whether a := of an earlier rule has the last word; a := now closes the kind."""
    if kind in event.final:
        return True
    if token.operator is Operator.ASSIGN_FINAL:
        event.final.add(kind)
    return False


def _string_escape(event: Event, token: Token) -> None:
    event.escaping = Escaping.REPLACE if token.number else Escaping.NONE


def _db_persist(event: Event, token: Token) -> None:
    event.db_persist = True
    event.effect("OPTIONS db_persist")


def _watch(event: Event, token: Token) -> None:
    if not _closed(event, token, Kind.WATCH):
        event.watch = bool(token.number)
        event.effect(f"OPTIONS {'watch' if token.number else 'nowatch'}")


def _link_priority(event: Event, token: Token) -> None:
    event.link_priority = token.number or 0
    event.effect(f"OPTIONS link_priority={event.link_priority}")


def _nothing(event: Event, token: Token) -> None:
    """What concerns udevd itself, and no event: static_node, log_level."""


def _owner(event: Event, token: Token) -> None:
    if (name := _who(event, token, Kind.OWNER)) is None:
        return
    number = event.environment.user(name)
    if number is None:
        event.note(f"OWNER: there is no user {name!r}, ignored")
        return
    event.owner, event.names[Kind.OWNER] = number, name
    event.effect(f"OWNER {name}")


def _group(event: Event, token: Token) -> None:
    if (name := _who(event, token, Kind.GROUP)) is None:
        return
    number = event.environment.group(name)
    if number is None:
        event.note(f"GROUP: there is no group {name!r}, ignored")
        return
    event.group, event.names[Kind.GROUP] = number, name
    event.effect(f"GROUP {name}")


def _who(event: Event, token: Token, kind: Kind) -> str | None:
    assert token.format is not None
    return None if _closed(event, token, kind) else event.expand(token.format, MOST_NAME)


def _mode(event: Event, token: Token) -> None:
    assert token.format is not None
    if _closed(event, token, Kind.MODE):
        return
    text = event.expand(token.format, MOST_NAME) or ""
    if _OCTAL.fullmatch(text) is None:
        event.note(f"MODE: {text!r} is not a mode in octal, ignored")
        return
    event.mode = int(text, 8)
    event.effect(f"MODE {event.mode:04o}")


def _tag(event: Event, token: Token) -> None:
    assert token.format is not None
    tag = event.expand(token.format, MOST_PATH)
    if tag is None:
        return
    if token.operator is Operator.ASSIGN:
        event.tags.clear()
        event.all_tags.clear()
    if _TAG.fullmatch(tag) is None:
        event.note(f"TAG: {tag!r} has other characters than letters, digits, - and _, ignored")
    elif token.operator is Operator.REMOVE:
        event.tags.pop(tag, None)
        event.effect(f"TAG -{tag}")
    else:
        event.tags[tag] = event.all_tags[tag] = None
        event.effect(f"TAG {tag}")


def _seclabel(event: Event, token: Token) -> None:
    assert token.format is not None
    label = event.expand(token.format, MOST_PATH) or token.value
    if token.operator is Operator.ASSIGN:
        event.seclabels.clear()
    event.seclabels[token.attribute] = label
    event.effect(f"SECLABEL{{{token.attribute}}} {label}")


def _env(event: Event, token: Token) -> None:
    assert token.format is not None
    key, adds = token.attribute, token.operator is Operator.ADD
    if not token.value:
        if not adds and event.properties.pop(key, None) is not None:
            event.effect(f"ENV{{{key}}} removed")
        return
    value = event.expand(token.format, MOST_NAME)
    if value is None:
        return
    if event.escaping is Escaping.REPLACE:
        value = replace_characters(value)
    before = event.properties.get(key)
    event.properties[key] = f"{before} {value}" if adds and before is not None else value
    event.effect(f"ENV{{{key}}} {event.properties[key]}")


def _name(event: Event, token: Token) -> None:
    assert token.format is not None
    if _closed(event, token, Kind.NAME):
        return
    if "IFINDEX" not in event.properties:
        event.note(f"NAME={token.value!r}: only network interfaces can be renamed, ignored")
        return
    name = event.expand(token.format, MOST_PATH)
    if name:
        event.name = name if event.escaping is Escaping.NONE else replace_characters(name, "/")
        event.effect(f"NAME {event.name}")


def _symlink(event: Event, token: Token) -> None:
    assert token.format is not None
    if Kind.SYMLINK in event.final or event.view.devnum is None:
        return
    _closed(event, token, Kind.SYMLINK)
    if token.operator in _REPLACING:
        event.links.clear()
    text = event.expand(token.format, MOST_PATH, join_words=event.escaping is not Escaping.NONE)
    if text is None:
        return
    if event.escaping is not Escaping.NONE:
        text = replace_characters(text, "/ " if event.escaping is Escaping.UNSET else "/")
    for link in text.split():
        clean = _link(link)
        if clean is None:
            event.note(f"SYMLINK: {link!r} leads out of /dev, ignored")
        elif token.operator is Operator.REMOVE:
            event.links.pop(clean, None)
            event.effect(f"SYMLINK -{clean}")
        else:
            event.links[clean] = None
            event.effect(f"SYMLINK {clean}")


def _link(text: str) -> str | None:
    """Return a link's path below /dev in its shortest form; None if it is none."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    return "/".join(parts) if parts and ".." not in parts and "\0" not in text else None


def _attr(event: Event, token: Token) -> None:
    assert token.format is not None
    path, value = event.resolve_star(event.path(token.attribute)), event.expand(token.format, MOST_NAME)
    if path is None:
        event.note(f"ATTR{{{token.attribute}}}: no directory has such a file, ignored")
    elif value is not None:
        event.write("ATTR", path, value)
        event.effect(f"ATTR {path} {value}")


def _sysctl(event: Event, token: Token) -> None:
    assert token.format is not None
    assert token.attribute_format is not None
    name, value = event.expand(token.attribute_format, MOST_PATH), event.expand(token.format, MOST_NAME)
    if name is not None and value is not None:
        path = f"/proc/sys/{sysctl_path(name)}"
        event.write("SYSCTL", path, value)
        event.effect(f"SYSCTL {path} {value}")


def _run(event: Event, token: Token) -> None:
    assert token.format is not None
    assert event.rule is not None
    if _closed(event, token, Kind.RUN_PROGRAM):
        return
    if token.operator in _REPLACING:
        event.run.clear()
    command = event.expand(token.format, MOST_PATH)
    if command is None:
        return
    kind = "builtin" if token.kind is Kind.RUN_BUILTIN else "program"
    words = tuple(split_command(command))
    event.run.append(Run(kind, command, words, event.rule.file, event.rule.line))
    event.effect(f"RUN{'{builtin}' if kind == 'builtin' else ''} {command}")


ASSIGNERS: dict[Kind, Assigner] = {
    Kind.STRING_ESCAPE: _string_escape,
    Kind.DB_PERSIST: _db_persist,
    Kind.WATCH: _watch,
    Kind.LINK_PRIORITY: _link_priority,
    Kind.LOG_LEVEL: _nothing,
    Kind.OWNER: _owner,
    Kind.GROUP: _group,
    Kind.MODE: _mode,
    Kind.TAG: _tag,
    Kind.STATIC_NODE: _nothing,
    Kind.SECLABEL: _seclabel,
    Kind.ENV: _env,
    Kind.NAME: _name,
    Kind.SYMLINK: _symlink,
    Kind.ATTR: _attr,
    Kind.SYSCTL: _sysctl,
    Kind.RUN_BUILTIN: _run,
    Kind.RUN_PROGRAM: _run,
}
