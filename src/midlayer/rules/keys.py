"""Every key of the language in one table: which attribute and operators it takes, and what it becomes."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import NamedTuple

from midlayer.rules.lexer import Operator


class Kind(IntEnum):
    """What a token does. Within a rule, tokens are taken in this order, whatever order they stand in."""

    MATCH_ACTION = auto()
    MATCH_DEVPATH = auto()
    MATCH_KERNEL = auto()
    MATCH_SYMLINK = auto()
    MATCH_NAME = auto()
    MATCH_ENV = auto()
    MATCH_CONST = auto()
    MATCH_TAG = auto()
    MATCH_SUBSYSTEM = auto()
    MATCH_DRIVER = auto()
    MATCH_ATTR = auto()
    MATCH_SYSCTL = auto()
    PARENTS_KERNEL = auto()
    PARENTS_SUBSYSTEM = auto()
    PARENTS_DRIVER = auto()
    PARENTS_ATTR = auto()
    PARENTS_TAG = auto()
    MATCH_TEST = auto()
    PROGRAM = auto()
    IMPORT_FILE = auto()
    IMPORT_PROGRAM = auto()
    IMPORT_BUILTIN = auto()
    IMPORT_DB = auto()
    IMPORT_CMDLINE = auto()
    IMPORT_PARENT = auto()
    MATCH_RESULT = auto()
    STRING_ESCAPE = auto()
    DB_PERSIST = auto()
    WATCH = auto()
    LINK_PRIORITY = auto()
    LOG_LEVEL = auto()
    OWNER = auto()
    GROUP = auto()
    MODE = auto()
    TAG = auto()
    STATIC_NODE = auto()
    SECLABEL = auto()
    ENV = auto()
    NAME = auto()
    SYMLINK = auto()
    ATTR = auto()
    SYSCTL = auto()
    RUN_BUILTIN = auto()
    RUN_PROGRAM = auto()

    @property
    def is_match(self) -> bool:
        """True for what decides whether the rule applies; PROGRAM and IMPORT among it."""
        return self < Kind.STRING_ESCAPE

    @property
    def is_parents(self) -> bool:
        """True for what one and the same device of the chain has to match."""
        return Kind.PARENTS_KERNEL <= self <= Kind.PARENTS_TAG


class Attribute(IntEnum):
    """Whether a key takes ``{attribute}``."""

    NONE = auto()
    OPTIONAL = auto()
    REQUIRED = auto()


_EQUAL = frozenset({Operator.MATCH, Operator.NO_MATCH})
_SET = frozenset({Operator.ASSIGN, Operator.ASSIGN_FINAL})
_ADD = frozenset({Operator.ADD})
_REMOVE = frozenset({Operator.REMOVE})


class Key(NamedTuple):
    """One key.

    Attributes:
        attribute: Whether it takes one.
        match: What it becomes with == and !=, or None.
        assign: What it becomes with the other operators, or None.
        operators: Those that it takes.
        instead: Operators that udev takes for another one, with a warning.
        glob: True if its value, in a match, is a pattern.
        formats: When substitutions are made in its value: "" never, "assign", or "always".
    """

    attribute: Attribute
    match: Kind | None
    assign: Kind | None
    operators: frozenset[Operator]
    instead: dict[Operator, Operator] = {}  # noqa: RUF012  read only
    glob: bool = True
    formats: str = "assign"


_N, _O, _R = Attribute.NONE, Attribute.OPTIONAL, Attribute.REQUIRED
_ADD_IS_SET = {Operator.ADD: Operator.ASSIGN}
_FINAL_IS_SET = {Operator.ASSIGN_FINAL: Operator.ASSIGN}
# What is written = is a question all the same: did the program end well?
_ASSIGN_IS_MATCH = dict.fromkeys((Operator.ASSIGN, Operator.ASSIGN_FINAL, Operator.ADD), Operator.MATCH)

KEYS: dict[str, Key] = {
    "ACTION": Key(_N, Kind.MATCH_ACTION, None, _EQUAL),
    "DEVPATH": Key(_N, Kind.MATCH_DEVPATH, None, _EQUAL),
    "KERNEL": Key(_N, Kind.MATCH_KERNEL, None, _EQUAL),
    "SUBSYSTEM": Key(_N, Kind.MATCH_SUBSYSTEM, None, _EQUAL),
    "DRIVER": Key(_N, Kind.MATCH_DRIVER, None, _EQUAL),
    "KERNELS": Key(_N, Kind.PARENTS_KERNEL, None, _EQUAL),
    "SUBSYSTEMS": Key(_N, Kind.PARENTS_SUBSYSTEM, None, _EQUAL),
    "DRIVERS": Key(_N, Kind.PARENTS_DRIVER, None, _EQUAL),
    "ATTRS": Key(_R, Kind.PARENTS_ATTR, None, _EQUAL),
    "TAGS": Key(_N, Kind.PARENTS_TAG, None, _EQUAL),
    "CONST": Key(_R, Kind.MATCH_CONST, None, _EQUAL),
    "TEST": Key(_O, Kind.MATCH_TEST, None, _EQUAL, glob=False, formats="always"),
    "RESULT": Key(_N, Kind.MATCH_RESULT, None, _EQUAL),
    "PROGRAM": Key(
        _N, Kind.PROGRAM, None, _EQUAL | _SET | _ADD, _ASSIGN_IS_MATCH, glob=False, formats="always"
    ),
    "IMPORT": Key(
        _R, Kind.IMPORT_FILE, None, _EQUAL | _SET | _ADD, _ASSIGN_IS_MATCH, glob=False, formats="always"
    ),
    "SYMLINK": Key(_N, Kind.MATCH_SYMLINK, Kind.SYMLINK, _EQUAL | _SET | _ADD | _REMOVE),
    "NAME": Key(_N, Kind.MATCH_NAME, Kind.NAME, _EQUAL | _SET | _ADD, _ADD_IS_SET),
    "ENV": Key(_R, Kind.MATCH_ENV, Kind.ENV, _EQUAL | _SET | _ADD, _FINAL_IS_SET),
    "TAG": Key(_N, Kind.MATCH_TAG, Kind.TAG, _EQUAL | _SET | _ADD | _REMOVE, _FINAL_IS_SET),
    "ATTR": Key(_R, Kind.MATCH_ATTR, Kind.ATTR, _EQUAL | _SET | _ADD, _ADD_IS_SET | _FINAL_IS_SET),
    "SYSCTL": Key(_R, Kind.MATCH_SYSCTL, Kind.SYSCTL, _EQUAL | _SET | _ADD, _ADD_IS_SET | _FINAL_IS_SET),
    "OPTIONS": Key(_N, None, Kind.STRING_ESCAPE, _SET | _ADD, formats=""),
    "OWNER": Key(_N, None, Kind.OWNER, _SET | _ADD, _ADD_IS_SET),
    "GROUP": Key(_N, None, Kind.GROUP, _SET | _ADD, _ADD_IS_SET),
    "MODE": Key(_N, None, Kind.MODE, _SET | _ADD, _ADD_IS_SET),
    "SECLABEL": Key(_R, None, Kind.SECLABEL, _SET | _ADD, _FINAL_IS_SET),
    "RUN": Key(_O, None, Kind.RUN_PROGRAM, _SET | _ADD),
}
"""All keys but GOTO, LABEL and the two WAIT_FOR of old, which are not tokens."""

WITHOUT_A_WARNING = frozenset({"PROGRAM", "IMPORT"})
"""Keys whose `instead` is everyday usage."""

NOT_TO_BE_SET = frozenset(
    {
        "ACTION", "DEVLINKS", "DEVNAME", "DEVPATH", "DEVTYPE", "DRIVER",
        "IFINDEX", "MAJOR", "MINOR", "SEQNUM", "SUBSYSTEM", "TAGS",
    }
)  # fmt: skip
"""Properties that are the kernel's and udev's own."""

IMPORTS: dict[str, Kind] = {
    "file": Kind.IMPORT_FILE,
    "program": Kind.IMPORT_PROGRAM,
    "builtin": Kind.IMPORT_BUILTIN,
    "db": Kind.IMPORT_DB,
    "cmdline": Kind.IMPORT_CMDLINE,
    "parent": Kind.IMPORT_PARENT,
}
RUNS: dict[str | None, Kind] = {
    None: Kind.RUN_PROGRAM,
    "program": Kind.RUN_PROGRAM,
    "builtin": Kind.RUN_BUILTIN,
}
CONSTANTS = frozenset({"arch", "virt"})
LOG_LEVELS = frozenset(
    {"reset", "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", *"01234567"}
)
