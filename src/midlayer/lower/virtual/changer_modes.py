"""Mode parameters of a medium changer (SMC-3 7.3): where elements are, and what goes from where to where."""

from __future__ import annotations

from midlayer.lower.virtual.modes import Modes
from midlayer.lower.virtual.settings import Settings
from midlayer.lower.virtual.unit import VirtualUnit
from midlayer.standards import smc
from midlayer.standards.smc import ElementType

_TRANSPORT, _STORAGE, _IMPORT_EXPORT, _DATA_TRANSFER = 1, 2, 4, 8
_PLACES = _STORAGE | _IMPORT_EXPORT | _DATA_TRANSFER
_ALL = _TRANSPORT | _PLACES


class ChangerModes(Modes):
    """What a changer has besides the pages of every type."""

    def pages(self, unit: VirtualUnit, settings: Settings) -> dict[int, bytes]:
        ranges = unit.changer.ranges
        firsts = {kind: addresses.start if addresses else 0 for kind, addresses in ranges.items()}
        return super().pages(unit, settings) | {
            0x1D: smc.ElementAddressPage(
                first_medium_transport_element_address=firsts[ElementType.MEDIUM_TRANSPORT],
                number_of_medium_transport_elements=len(ranges[ElementType.MEDIUM_TRANSPORT]),
                first_storage_element_address=firsts[ElementType.STORAGE],
                number_of_storage_elements=len(ranges[ElementType.STORAGE]),
                first_import_export_element_address=firsts[ElementType.IMPORT_EXPORT],
                number_of_import_export_elements=len(ranges[ElementType.IMPORT_EXPORT]),
                first_data_transfer_element_address=firsts[ElementType.DATA_TRANSFER],
                number_of_data_transfer_elements=len(ranges[ElementType.DATA_TRANSFER]),
            ).encode(),
            0x1E: smc.TransportGeometryPage().encode(),
            0x1F: smc.DeviceCapabilitiesPage(
                stores=_ALL,
                from_transport=_ALL,
                from_storage=_ALL,
                from_import_export=_ALL,
                from_data_transfer=_ALL,
                exchange_storage=_PLACES,
                exchange_import_export=_PLACES,
                exchange_data_transfer=_PLACES,
            ).encode(),
        }
