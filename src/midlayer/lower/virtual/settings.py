"""What initiators can set of a unit by MODE SELECT, and what a unit counts."""

from __future__ import annotations

from dataclasses import dataclass

from midlayer.lower.virtual.spec import UnitSpec
from midlayer.standards.spc import PeripheralDeviceType


@dataclass(slots=True)
class Settings:
    """What MODE SELECT can change.

    Attributes:
        wce: Writes may wait in the cache until SYNCHRONIZE CACHE.
        d_sense: Sense data has descriptor format.
        swp: Software write protection.
    """

    wce: bool = True
    d_sense: bool = False
    swp: bool = False


@dataclass(slots=True)
class TapeSettings(Settings):
    """What MODE SELECT can change of a tape.

    Attributes:
        block_length: Bytes of a block of READ and WRITE with FIXED; 0 for none.
        buffered_mode: 1 lets WRITE end before the data is safe, which FILEMARKS without IMMED waits for.
        compress: DCE; remembered, but nothing is compressed.
    """

    block_length: int = 0
    buffered_mode: int = 1
    compress: bool = True


@dataclass(slots=True)
class Counters:
    """What LOG SENSE reports besides the state of the medium."""

    read_errors: int = 0
    write_errors: int = 0
    starts: int = 0


def first_settings(spec: UnitSpec) -> Settings:
    """Return what a unit has after a reset."""
    if spec.type == PeripheralDeviceType.SEQUENTIAL_ACCESS:
        return TapeSettings(block_length=spec.block_size)
    return Settings()
