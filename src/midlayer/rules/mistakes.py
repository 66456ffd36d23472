"""A mistake in a rule file: where it is, what is wrong, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from midlayer.rules.text import one_line


class Severity(StrEnum):
    """What a mistake costs."""

    ERROR = "error"
    """The rule, or this part of it, is left out."""
    WARNING = "warning"
    """It is taken, perhaps not as it was meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake.

    Attributes:
        file: Name of the file, as it was given.
        line, column: From 1; of the physical line, also in a rule that goes on over several.
        severity: What it costs.
        message: What is wrong.
        mend: What to write instead.
    """

    file: str
    line: int
    column: int
    severity: Severity
    message: str
    mend: str

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message}; {self.mend}"
        return one_line(text)

    def to_json(self) -> dict[str, Any]:
        """Return the mistake as documented for ``midlayer rules check --json``."""
        return {
            "file": one_line(self.file),
            "line": self.line,
            "column": self.column,
            "severity": str(self.severity),
            "message": one_line(self.message),
            "mend": one_line(self.mend),
        }


class Misread(Exception):
    """Inside of the package: reading one rule has failed at an offset of its text. Becomes a `Mistake`."""

    def __init__(self, offset: int, message: str, mend: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message
        self.mend = mend
