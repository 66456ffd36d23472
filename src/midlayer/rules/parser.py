"""From a rule file to rules. Nothing in a file is an exception: what is wrong becomes a `Mistake`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from midlayer.rules.keys import KEYS, WITHOUT_A_WARNING, Attribute, Key, Kind
from midlayer.rules.lexer import MOST_LINE, Line, Operator, RawToken, lines, tokens
from midlayer.rules.mistakes import Misread, Mistake, Severity
from midlayer.rules.pattern import Pattern
from midlayer.rules.refining import OPTIONS_HINT, REFINE
from midlayer.rules.substitutions import Format, compile_format
from midlayer.rules.text import decode

_OLD_KEYS = frozenset({"WAIT_FOR", "WAIT_FOR_SYSFS"})


@dataclass(frozen=True, slots=True)
class Token:
    """One key of a rule, ready to be matched or carried out.

    Attributes:
        kind: What it does.
        operator: == or != in a match; = += -= := else.
        value: As written, escapes read.
        attribute: What stood in braces.
        pattern: Of a match.
        format: Of the value, where substitutions are made.
        attribute_format: Of the attribute, where they are made.
        number: A mode, a priority, or 0 and 1 for nowatch and watch.
        wanted: Of a match: False for !=.
    """

    kind: Kind
    operator: Operator
    value: str
    attribute: str = ""
    pattern: Pattern | None = None
    format: Format | None = None
    attribute_format: Format | None = None
    number: int | None = None
    wanted: bool = True


@dataclass(slots=True, eq=False)
class Rule:
    """One rule.

    Attributes:
        file, line: Where it begins.
        tokens: In the order in which they are taken.
        label: LABEL, or "".
        goto: GOTO, or "".
        target: Index, within the file, of the rule to go on with; None without GOTO.
    """

    file: str
    line: int
    tokens: tuple[Token, ...] = ()
    label: str = ""
    goto: str = ""
    target: int | None = None
    for_nodes: bool = field(init=False, default=False)
    for_interfaces: bool = field(init=False, default=False)
    for_all: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        kinds = {token.kind for token in self.tokens}
        self.for_nodes = not kinds.isdisjoint(_NODE_KINDS)
        self.for_interfaces = Kind.NAME in kinds
        self.for_all = bool(self.goto) or any(
            kind not in _NODE_KINDS and kind not in _QUIET_KINDS for kind in kinds if _has_effect(kind)
        )


_NODE_KINDS = frozenset({Kind.SYMLINK, Kind.OWNER, Kind.GROUP, Kind.MODE})
_QUIET_KINDS = frozenset({Kind.NAME, Kind.STATIC_NODE})


def _has_effect(kind: Kind) -> bool:
    return not kind.is_match or Kind.PROGRAM <= kind <= Kind.IMPORT_PARENT


class RuleFile(NamedTuple):
    """A file that was read: its rules, and what is wrong with it."""

    name: str
    rules: tuple[Rule, ...]
    mistakes: tuple[Mistake, ...]

    @property
    def errors(self) -> list[Mistake]:
        """The mistakes that cost a rule."""
        return [mistake for mistake in self.mistakes if mistake.severity is Severity.ERROR]


def parse(data: bytes | str, name: str = "rules") -> RuleFile:
    """Read a rule file. Never raises: a rule that can not be read is left out, and is a mistake.

    Args:
        data: Its content.
        name: What to call it in mistakes and logs.
    """
    reader = _Reader(name)
    for line in lines(decode(data) if isinstance(data, bytes) else data):
        reader.line(line)
    reader.resolve()
    return RuleFile(name, tuple(reader.rules), tuple(sorted(reader.mistakes, key=_place)))


def _place(mistake: Mistake) -> tuple[int, int]:
    return mistake.line, mistake.column


@dataclass(slots=True)
class _Draft:
    """A rule while its line is read."""

    tokens: list[Token] = field(default_factory=list)
    label: str = ""
    goto: str = ""
    goto_offset: int = 0


class _Reader:
    """Reads one file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rules: list[Rule] = []
        self.mistakes: list[Mistake] = []
        self._gotos: list[tuple[int, Line, int]] = []  # index of the rule, and where its GOTO is

    def line(self, line: Line) -> None:
        """Read a logical line; it becomes a rule, or a mistake, or both."""
        if line.cut == "unfinished":
            self._error(line, len(line.text), "the file ends within this rule", "end it without \\")
            return
        if line.cut:
            message = f"the rule is longer than {MOST_LINE} characters"
            self._error(line, 0, message, "split it into two")
            return
        draft = _Draft()
        try:
            for raw in tokens(line.text):
                if raw.comma_missing:
                    self._warning(line, raw.offset, f"no comma before {raw.key}", "write one")
                self._take(line, raw, draft)
        except Misread as error:
            self._error(line, error.offset, error.message, error.mend)
            return
        self._add(line, draft)

    def _take(self, line: Line, raw: RawToken, draft: _Draft) -> None:
        """Take one key into the rule that is being read."""
        if raw.key == "LABEL":
            draft.label = _flow(raw)
        elif raw.key == "GOTO" and draft.goto:
            self._warning(line, raw.offset, "a second GOTO", "leave one of them out")
        elif raw.key == "GOTO":
            draft.goto, draft.goto_offset = _flow(raw), raw.offset
        elif raw.key in _OLD_KEYS:
            self._warning(line, raw.offset, f"{raw.key} is ignored", "leave it out; udev has none")
        else:
            draft.tokens += self._token(line, raw)

    def _add(self, line: Line, draft: _Draft) -> None:
        flows = draft.label or draft.goto
        if not flows and not any(_has_effect(token.kind) for token in draft.tokens):
            if draft.tokens:  # else why there are none is said already
                message = "the rule only matches and does nothing"
                self._warning(line, 0, message, "assign something, or GOTO")
            return
        ordered = tuple(sorted(draft.tokens, key=lambda token: token.kind))
        rule = Rule(self.name, line.number, ordered, draft.label, draft.goto)
        if draft.goto:
            self._gotos.append((len(self.rules), line, draft.goto_offset))
        self.rules.append(rule)

    def resolve(self) -> None:
        """Find the labels that GOTOs lead to: the first one of that name further down."""
        labels: dict[str, list[int]] = {}
        for index, rule in enumerate(self.rules):
            if rule.label:
                labels.setdefault(rule.label, []).append(index)
        for index, line, offset in self._gotos:
            rule = self.rules[index]
            found = labels.get(rule.goto, [])
            below = bisect_right(found, index)
            if below < len(found):
                rule.target = found[below]
                continue
            above = "; a GOTO leads down only" if found else ""
            message = f"GOTO {rule.goto!r} finds no LABEL below{above}"
            self._error(line, offset, message, f'write LABEL="{rule.goto}" further down')
            rule.goto = ""

    def _error(self, line: Line, offset: int, message: str, mend: str) -> None:
        self._note(line, offset, Severity.ERROR, message, mend)

    def _warning(self, line: Line, offset: int, message: str, mend: str) -> None:
        self._note(line, offset, Severity.WARNING, message, mend)

    def _note(self, line: Line, offset: int, severity: Severity, message: str, mend: str) -> None:
        number, column = line.place(offset)
        self.mistakes.append(
            Mistake(file=self.name, line=number, column=column, severity=severity, message=message, mend=mend)
        )

    # One token

    def _token(self, line: Line, raw: RawToken) -> Iterable[Token]:
        """Return the token, or none where udev passes over it.

        Raises:
            Misread: Where udev leaves out the rule.
        """
        key = KEYS.get(raw.key)
        if key is None:
            raise Misread(raw.offset, f"there is no key {raw.key!r}", _nearest(raw.key))
        operator = self._operator(line, raw, key)
        kind = key.match if operator.is_match else key.assign
        _check_attribute(raw, key)
        if kind is None:
            raise _wrong_operator(raw, key)
        extra: dict[str, Any] = {"kind": kind, "attribute": raw.attribute or ""}
        if kind in REFINE:
            refined = REFINE[kind](raw)
            if refined is None:
                message = f"OPTIONS has no {raw.value!r}"
                self._error(line, raw.value_offset, message, OPTIONS_HINT)
                return ()
            extra |= refined
        if operator.is_match and key.glob:
            extra["pattern"] = Pattern(
                raw.value, ignore_case=raw.ignore_case, subsystem=kind is Kind.MATCH_SUBSYSTEM
            )
        elif raw.ignore_case:
            raise Misread(raw.value_offset, 'i"…" is for matches only', "leave out the i")
        if key.formats == "always" or (key.formats == "assign" and not operator.is_match):
            extra["format"] = self._format(line, raw, raw.value, raw.value_offset, extra["kind"])
        if kind in _ATTRIBUTE_FORMATS:
            extra["attribute_format"] = self._format(line, raw, raw.attribute or "", raw.offset, kind)
        wanted = operator is not Operator.NO_MATCH
        return (Token(operator=operator, value=raw.value, wanted=wanted, **extra),)

    def _operator(self, line: Line, raw: RawToken, key: Key) -> Operator:
        if raw.operator not in key.operators:
            raise _wrong_operator(raw, key)
        instead = key.instead.get(raw.operator)
        if instead is None:
            return raw.operator
        if raw.key not in WITHOUT_A_WARNING:
            message = f"{raw.key}{raw.operator} is taken for {raw.key}{instead}"
            self._warning(line, raw.offset, message, f"write {instead}")
        return instead

    def _format(self, line: Line, raw: RawToken, text: str, offset: int, kind: Kind) -> Format:
        made, wrong = compile_format(text)
        if wrong is not None:
            self._warning(line, offset + wrong.offset, wrong.message, wrong.mend)
        if not text and kind in _NOT_EMPTY:
            self._warning(line, offset, f"{raw.key} has an empty value", "write one")
        return made


_NOT_EMPTY = frozenset(
    {
        Kind.MATCH_TEST, Kind.PROGRAM, Kind.IMPORT_FILE, Kind.IMPORT_PROGRAM, Kind.IMPORT_PARENT, Kind.TAG,
        Kind.OWNER, Kind.GROUP, Kind.MODE, Kind.SECLABEL, Kind.RUN_PROGRAM,
    }
)  # fmt: skip
_ATTRIBUTE_FORMATS = frozenset(
    {Kind.MATCH_ATTR, Kind.PARENTS_ATTR, Kind.MATCH_SYSCTL, Kind.SYSCTL, Kind.ATTR}
)


def _flow(raw: RawToken) -> str:
    """Check GOTO and LABEL."""
    if raw.attribute is not None:
        raise Misread(raw.offset, f"{raw.key} takes no {{attribute}}", f'write {raw.key}="name"')
    if raw.operator is not Operator.ASSIGN:
        raise Misread(raw.offset, f"{raw.key} does not take {raw.operator}", f'write {raw.key}="name"')
    if not raw.value:
        raise Misread(raw.value_offset, f"{raw.key} has no name", f'write {raw.key}="name"')
    return raw.value


def _wrong_operator(raw: RawToken, key: Key) -> Misread:
    allowed = " ".join(operator for operator in Operator if operator in key.operators - key.instead.keys())
    return Misread(raw.offset, f"{raw.key} does not take {raw.operator}", f"write one of {allowed}")


def _check_attribute(raw: RawToken, key: Key) -> None:
    if raw.attribute is not None and key.attribute is Attribute.NONE:
        raise Misread(raw.offset, f"{raw.key} takes no {{attribute}}", f"write {raw.key} alone")
    if not raw.attribute and key.attribute is Attribute.REQUIRED:
        raise Misread(raw.offset, f"{raw.key} needs a name in braces", f"write {raw.key}{{name}}")


def _nearest(key: str) -> str:
    import difflib  # only for a mistake  # noqa: PLC0415

    near = difflib.get_close_matches(key.upper(), [*KEYS, "GOTO", "LABEL"], 1)
    return f"is {near[0]} meant?" if near else "docs/rules.md lists the keys"
