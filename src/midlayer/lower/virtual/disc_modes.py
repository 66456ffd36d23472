"""Mode parameters of a virtual CD or DVD drive (MMC-6 7): page 2Ah besides those of a disk."""

from __future__ import annotations

from midlayer.lower.virtual.disc import FASTEST_KBYTES
from midlayer.lower.virtual.modes import Modes
from midlayer.lower.virtual.settings import Settings
from midlayer.lower.virtual.unit import VirtualUnit
from midlayer.standards import mmc, mode

_TRAY = 1


class DiscModes(Modes):
    """What a CD drive has."""

    def pages(self, unit: VirtualUnit, settings: Settings) -> dict[int, bytes]:
        page = mmc.CapabilitiesPage(
            dvd_r_read=True,
            dvd_rom_read=True,
            cd_rw_read=True,
            cd_r_read=True,
            multi_session=True,
            mode_2_form_1=True,
            loading_mechanism_type=_TRAY,
            eject=True,
            lock_state=bool(unit.prevented),
            lock=True,
            maximum_read_speed=FASTEST_KBYTES,
            buffer_size_kib=2048,
            current_read_speed=unit.disc.speed_kbytes,
        )
        known = super().pages(unit, settings)
        known.pop(mode.CachingPage.page_code, None)  # nothing is written
        return known | {0x2A: page.encode()}

    def changeable(self, unit: VirtualUnit) -> dict[int, bytes]:
        known = super().changeable(unit)
        known.pop(mode.CachingPage.page_code, None)
        return known
