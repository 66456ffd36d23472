"""What is known of each command before it is run: the form of the tables in `command_set`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from midlayer.standards.opcodes import Opcode as Op


class Access(Enum):
    """What a command means to a persistent reservation of another nexus (SPC-4 table 66, SBC-3 table 13)."""

    ALWAYS = "always"
    """No reservation stops it."""
    READS = "reads"
    """Exclusive access stops it, write exclusive does not."""
    WRITES = "writes"
    """Every type stops it."""


class Row(NamedTuple):
    """What is known of a command.

    Attributes:
        usage: CDB usage data (SPC-4 6.35.3): one bits are evaluated, the first byte is the operation code.
        access: How it stands to reservations.
        medium: It needs a unit that is ready.
    """

    usage: bytes
    access: Access
    medium: bool


ALWAYS, READS, WRITES = Access.ALWAYS, Access.READS, Access.WRITES

WITH_SERVICE_ACTIONS = frozenset(
    {
        Op.SANITIZE,
        Op.PERSISTENT_RESERVE_IN,
        Op.PERSISTENT_RESERVE_OUT,
        Op.THIRD_PARTY_COPY_OUT,
        Op.THIRD_PARTY_COPY_IN,
        Op.SERVICE_ACTION_IN_16,
        Op.MAINTENANCE_IN,
        Op.MAINTENANCE_OUT,
    }
)
"""Operation codes whose CDB has a service action in byte 1."""

Key = tuple[int, int | None]


def rows(lines: Iterable[tuple[str, Access, bool]]) -> dict[Key, Row]:
    """Return rows by operation code and service action; the action is None for a command that has none."""
    made = (Row(bytes.fromhex(text), access, medium) for text, access, medium in lines)
    return {_key(row.usage): row for row in made}


def _key(usage: bytes) -> Key:
    opcode = usage[0]
    return opcode, usage[1] & 0x1F if opcode in WITH_SERVICE_ACTIONS else None
