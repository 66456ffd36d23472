"""Mode parameters of a virtual tape (SSC-4 8.3): block length, buffering, compression, configuration."""

from __future__ import annotations

from typing import Any

from midlayer.lower.virtual.answers import invalid_parameter
from midlayer.lower.virtual.modes import Header, LongHeader, Modes, ShortHeader
from midlayer.lower.virtual.settings import Settings, TapeSettings
from midlayer.lower.virtual.tape import DENSITY, LONGEST_BLOCK
from midlayer.lower.virtual.unit import VirtualUnit
from midlayer.standards import mode, ssc

_ANY_DENSITY = (0x00, 0x7F, DENSITY)  # the default one, no change, and the one that there is
_MOST_BUFFERED = 1
_COMPRESSION_ALGORITHM = 0x01
_EOD_WRITTEN = 0
_LENGTH_BYTE = 5


class TapeModes(Modes):
    """What a tape has. Page 00h is asked for by those who want header and descriptor alone."""

    headers: tuple[type[ShortHeader], type[LongHeader]] = (ssc.TapeModeHeader6, ssc.TapeModeHeader10)

    def pages(self, unit: VirtualUnit, settings: Settings) -> dict[int, bytes]:
        compress = isinstance(settings, TapeSettings) and settings.compress
        return super().pages(unit, settings) | {
            0x00: b"",
            0x01: ssc.ErrorRecoveryPage().encode(),
            0x0F: ssc.DataCompressionPage(
                dce=compress,
                dcc=True,
                dde=True,
                compression_algorithm=_COMPRESSION_ALGORITHM,
                decompression_algorithm=_COMPRESSION_ALGORITHM,
            ).encode(),
            0x10: ssc.DeviceConfigurationPage(
                lois=True,
                robo=True,
                eod_defined=_EOD_WRITTEN,
                eeg=True,
                sew=True,
                select_data_compression_algorithm=int(compress),
            ).encode(),
            0x11: ssc.MediumPartitionPage().encode(),
        }

    def changeable(self, unit: VirtualUnit) -> dict[int, bytes]:
        return super().changeable(unit) | {
            0x0A: mode.ControlPage(d_sense=True, swp=True).encode(),
            0x0F: ssc.DataCompressionPage(dce=True).encode(),
            0x10: ssc.DeviceConfigurationPage(select_data_compression_algorithm=0xFF).encode(),
        }

    def descriptor(self, unit: VirtualUnit, settings: Settings, *, long: bool) -> bytes:
        length = settings.block_length if isinstance(settings, TapeSettings) else 0
        density = DENSITY if unit.tape.medium is not None else 0
        return ssc.TapeBlockDescriptor(density_code=density, logical_block_length=length).encode()

    def header_fields(self, unit: VirtualUnit, settings: Settings) -> dict[str, Any]:
        medium = unit.tape.medium
        protected = settings.swp or unit.spec.write_protected or (medium is not None and not medium.writable)
        buffered = settings.buffered_mode if isinstance(settings, TapeSettings) else 0
        return {"wp": protected, "buffered_mode": buffered}

    def take_header(self, header: Header, settings: Settings) -> None:
        assert isinstance(header, ssc.TapeModeHeader6 | ssc.TapeModeHeader10)
        assert isinstance(settings, TapeSettings)
        if header.buffered_mode > _MOST_BUFFERED:
            raise invalid_parameter(2 if isinstance(header, ssc.TapeModeHeader6) else 3, 6)
        settings.buffered_mode = header.buffered_mode

    def take_descriptor(
        self, unit: VirtualUnit, settings: Settings, data: bytes, at: int, *, long: bool
    ) -> None:
        assert isinstance(settings, TapeSettings)
        if len(data) != ssc.TapeBlockDescriptor.size or long:
            raise invalid_parameter(at - 1)
        given = ssc.TapeBlockDescriptor.decode(data)
        if given.density_code not in _ANY_DENSITY:
            raise invalid_parameter(at)
        if given.logical_block_length > LONGEST_BLOCK:
            raise invalid_parameter(at + _LENGTH_BYTE)
        settings.block_length = given.logical_block_length

    def take_page(self, unit: VirtualUnit, settings: Settings, code: int, page: bytes) -> None:
        super().take_page(unit, settings, code, page)
        assert isinstance(settings, TapeSettings)
        if code == ssc.DataCompressionPage.page_code:
            settings.compress = ssc.DataCompressionPage.decode(page).dce
        elif code == ssc.DeviceConfigurationPage.page_code:
            algorithm = ssc.DeviceConfigurationPage.decode(page).select_data_compression_algorithm
            settings.compress = algorithm != 0
