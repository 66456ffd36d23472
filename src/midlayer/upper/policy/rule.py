"""What a quarantine rule says, and which devices it means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from midlayer.mid.logical_unit import LogicalUnit

DEFAULT_PROBE_S = 5.0
DEFAULT_MAX_PROBE_S = 300.0


class QuarantineAction(StrEnum):
    """What becomes of a device that a rule means."""

    HOLD = "hold"
    """It stays where it is, and no upper-level driver sees it."""
    REMOVE = "remove"
    """It is removed: by the mid level, or by the kernel if it is the kernel's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineRule:
    """One rule. A key that is None means any value; the others must all fit.

    Attributes:
        vendor, model, revision: Patterns with ``*``, ``?`` and ``[…]``, for the texts of the INQUIRY data.
        qualifier: Peripheral qualifier, 0 to 7.
        type: Peripheral device type, 0 to 31.
        action: What to do.
        probe_s: Seconds until the device is asked again for the first time; twice as long each time after.
        max_probe_s: Longest time between two questions.
        source: Where it is from, if somebody else judges devices; it is what the rule is called then.
    """

    vendor: str | None = None
    model: str | None = None
    revision: str | None = None
    qualifier: int | None = None
    type: int | None = None
    action: QuarantineAction = QuarantineAction.HOLD
    probe_s: float = DEFAULT_PROBE_S
    max_probe_s: float = DEFAULT_MAX_PROBE_S
    source: str = ""

    def matches(self, device: LogicalUnit) -> bool:
        """Return whether the rule means a device, by its INQUIRY data."""
        texts = ((self.vendor, device.vendor), (self.model, device.model), (self.revision, device.revision))
        numbers = ((self.qualifier, device.peripheral_qualifier), (self.type, device.type))
        return all(pattern is None or fnmatchcase(text, pattern) for pattern, text in texts) and all(
            wanted is None or wanted == number for wanted, number in numbers
        )

    def __str__(self) -> str:
        if self.source:
            return self.source
        texts = {"vendor": self.vendor, "model": self.model, "revision": self.revision}
        parts = [f'{key} = "{value}"' for key, value in texts.items() if value is not None]
        if self.qualifier is not None:
            parts.append(f'qualifier = "{self.qualifier:03b}b"')
        if self.type is not None:
            parts.append(f"type = {self.type}")
        return ", ".join([*parts, f'action = "{self.action}"'])
