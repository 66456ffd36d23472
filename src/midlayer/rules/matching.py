"""Matches, a function each: does the device have what the rule asks for? PROGRAM and IMPORT ask too."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from midlayer.rules.builtins import BUILTINS
from midlayer.rules.event import Event
from midlayer.rules.keys import Kind
from midlayer.rules.parser import Token
from midlayer.rules.pattern import matches_glob
from midlayer.rules.substitutions import MOST_NAME, MOST_PATH
from midlayer.rules.text import INPUT, WHITE_SPACE, decode, parse_property, replace_characters, split_command
from midlayer.rules.view import DeviceView

Matcher = Callable[[Event, DeviceView, Token], bool]


def matches_text(token: Token, value: str) -> bool:
    """Return whether a value, empty if there is none, is what the token asks for."""
    assert token.pattern is not None
    return token.pattern.matches(value) is token.wanted


def _matches_any(token: Token, values: Iterable[str]) -> bool:
    """``==``: one of them fits; ``!=``: none does."""
    assert token.pattern is not None
    return any(map(token.pattern.matches, values)) is token.wanted


def _answer(token: Token, found: bool) -> bool:
    return found is token.wanted


def _env(event: Event, view: DeviceView, token: Token) -> bool:
    return matches_text(token, event.property(token.attribute) or "")


def _attr(event: Event, view: DeviceView, token: Token) -> bool:
    name = token.attribute
    if token.attribute_format is not None and not name.startswith("["):
        name = event.expand(token.attribute_format, MOST_NAME) or ""
    value = event.attribute(view, name)
    if value is None:
        return False  # what is not there is not different either
    if token.value and token.value[-1] not in WHITE_SPACE:
        value = value.rstrip(WHITE_SPACE)
    return matches_text(token, value)


def _sysctl(event: Event, view: DeviceView, token: Token) -> bool:
    assert token.attribute_format is not None
    name = event.expand(token.attribute_format, MOST_PATH)
    value = None if name is None else event.environment.sysctl(sysctl_path(name))
    return matches_text(token, (value or "").strip(WHITE_SPACE))


def sysctl_path(name: str) -> str:
    """Return a kernel parameter as a path: ``kernel.hostname`` and ``kernel/hostname`` are the same."""
    first = next((character for character in name if character in "./"), "/")
    if first == ".":
        name = name.translate({ord("."): "/", ord("/"): "."})
    return name.strip("/")


def _const(event: Event, view: DeviceView, token: Token) -> bool:
    return matches_text(token, getattr(event.environment, token.attribute))


def _test(event: Event, view: DeviceView, token: Token) -> bool:
    assert token.format is not None
    name = event.expand(token.format, MOST_PATH)
    path = None if name is None else event.resolve_star(event.path(name))
    mode = None if path is None else event.environment.mode(path)
    if mode is not None and token.number is not None:
        return _answer(token, bool(mode & token.number))
    return _answer(token, mode is not None)


def _program(event: Event, view: DeviceView, token: Token) -> bool:
    assert token.format is not None
    event.result = None
    command = event.expand(token.format, MOST_PATH)
    result = None if command is None else event.execute(command)
    if result is None or result.status != 0:
        return _answer(token, False)
    event.result = replace_characters(result.output.rstrip("\n"), INPUT)
    event.effect(f"PROGRAM {command} -> {event.result}")
    return _answer(token, True)


def _import_program(event: Event, view: DeviceView, token: Token) -> bool:
    assert token.format is not None
    command = event.expand(token.format, MOST_PATH)
    result = None if command is None else event.execute(command)
    if result is None or result.status != 0:
        return _answer(token, False)
    _take_lines(event, result.output)
    event.effect(f"IMPORT{{program}} {command}")
    return _answer(token, True)


def _import_file(event: Event, view: DeviceView, token: Token) -> bool:
    assert token.format is not None
    path = event.expand(token.format, MOST_PATH)
    data = None if path is None else event.environment.read_file(path)
    if data is None:
        return _answer(token, False)
    _take_lines(event, decode(data))
    event.effect(f"IMPORT{{file}} {path}")
    return _answer(token, True)


def _take_lines(event: Event, text: str) -> None:
    for line in text.replace("\r", "\n").split("\n"):
        found = parse_property(line)
        if found is not None:
            event.properties[found[0]] = found[1]


def _import_builtin(event: Event, view: DeviceView, token: Token) -> bool:
    assert token.format is not None
    command = event.expand(token.format, MOST_PATH) or ""
    words = split_command(command)
    builtin = BUILTINS.get(words[0]) if words else None
    if builtin is None:
        return _answer(token, False)
    if builtin.run_once and builtin.name in event.builtins:
        return _answer(token, event.builtins[builtin.name])
    found, note = event.environment.builtin(event.view, words, event.exported(), event.timeout_s)
    event.builtins[builtin.name] = found is not None
    if note:
        event.note(note)
    if found is not None:
        event.properties.update(found)
        event.effect(f"IMPORT{{builtin}} {command}")
    return _answer(token, found is not None)


def _import_db(event: Event, view: DeviceView, token: Token) -> bool:
    value = event.environment.database(event.view).get(token.value)
    if value is not None:
        event.properties[token.value] = value
        event.effect(f"IMPORT{{db}} {token.value}")
    return _answer(token, value is not None)


def _import_cmdline(event: Event, view: DeviceView, token: Token) -> bool:
    for word in split_command(event.environment.command_line()):
        key, equals, value = word.partition("=")
        if key.replace("-", "_") == token.value.replace("-", "_"):
            event.properties[token.value] = value if equals else "1"
            event.effect(f"IMPORT{{cmdline}} {token.value}")
            return _answer(token, True)
    return _answer(token, False)


def _import_parent(event: Event, view: DeviceView, token: Token) -> bool:
    assert token.format is not None
    glob, parent = event.expand(token.format, MOST_PATH), event.view.parent
    if glob is None or parent is None:
        return _answer(token, False)
    found = {**parent.properties, **event.environment.database(parent)}
    chosen = {key: value for key, value in found.items() if matches_glob(glob, key)}
    event.properties.update(chosen)
    if chosen:
        event.effect(f"IMPORT{{parent}} {glob}")
    return _answer(token, True)


MATCHERS: dict[Kind, Matcher] = {
    Kind.MATCH_ACTION: lambda event, view, token: matches_text(token, event.action),
    Kind.MATCH_DEVPATH: lambda event, view, token: matches_text(token, event.devpath),
    Kind.MATCH_KERNEL: lambda event, view, token: matches_text(token, event.sysname),
    Kind.MATCH_SYMLINK: lambda event, view, token: _matches_any(token, event.links),
    Kind.MATCH_NAME: lambda event, view, token: matches_text(token, event.name),
    Kind.MATCH_ENV: _env,
    Kind.MATCH_CONST: _const,
    Kind.MATCH_TAG: lambda event, view, token: _matches_any(token, event.all_tags),
    Kind.MATCH_SUBSYSTEM: lambda event, view, token: matches_text(token, view.subsystem),
    Kind.MATCH_DRIVER: lambda event, view, token: matches_text(token, view.driver),
    Kind.MATCH_ATTR: _attr,
    Kind.MATCH_SYSCTL: _sysctl,
    Kind.PARENTS_KERNEL: lambda event, view, token: matches_text(token, view.sysname),
    Kind.PARENTS_SUBSYSTEM: lambda event, view, token: matches_text(token, view.subsystem),
    Kind.PARENTS_DRIVER: lambda event, view, token: matches_text(token, view.driver),
    Kind.PARENTS_ATTR: _attr,
    Kind.PARENTS_TAG: lambda event, view, token: _matches_any(
        token, event.all_tags if view is event.view else view.tags
    ),
    Kind.MATCH_TEST: _test,
    Kind.PROGRAM: _program,
    Kind.IMPORT_FILE: _import_file,
    Kind.IMPORT_PROGRAM: _import_program,
    Kind.IMPORT_BUILTIN: _import_builtin,
    Kind.IMPORT_DB: _import_db,
    Kind.IMPORT_CMDLINE: _import_cmdline,
    Kind.IMPORT_PARENT: _import_parent,
    Kind.MATCH_RESULT: lambda event, view, token: matches_text(token, event.result or ""),
}
