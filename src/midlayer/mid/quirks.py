"""Devices that need special care at scan time (the kernel's ``scsi_devinfo``)."""

from __future__ import annotations

import threading
from enum import IntFlag
from typing import NamedTuple

from midlayer.errors import InvalidRequest
from midlayer.mid.known_devices import KNOWN_DEVICES


class Quirk(IntFlag):
    """Flags of a device entry, with the kernel's bit numbers, so that ``dev_flags`` text carries over."""

    NOLUN = 1 << 0
    FORCELUN = 1 << 1
    BORKEN = 1 << 2
    KEY = 1 << 3
    SINGLELUN = 1 << 4
    NOTQ = 1 << 5
    SPARSELUN = 1 << 6
    MAX5LUN = 1 << 7
    ISROM = 1 << 8
    LARGELUN = 1 << 9
    INQUIRY_36 = 1 << 10
    IGN_MEDIA_CHANGE = 1 << 11
    NOSTARTONADD = 1 << 12
    NO_VPD_SIZE = 1 << 13
    REPORTLUN2 = 1 << 17
    NOREPORTLUN = 1 << 18
    NOT_LOCKABLE = 1 << 19
    NO_ULD_ATTACH = 1 << 20
    SELECT_NO_ATN = 1 << 21
    RETRY_HWERROR = 1 << 22
    MAX_512 = 1 << 23
    NO_DIF = 1 << 25
    SKIP_VPD_PAGES = 1 << 26
    TRY_VPD_PAGES = 1 << 28
    NO_RSOC = 1 << 29
    MAX_1024 = 1 << 30
    UNMAP_LIMIT_WS = 1 << 31
    RETRY_ITF = 1 << 32
    RETRY_ASC_C1 = 1 << 33
    SKIP_IO_HINTS = 1 << 34


_NONE = Quirk(0)


_VENDOR_CHARACTERS, _MODEL_CHARACTERS = 8, 16


class QuirkEntry(NamedTuple):
    """One entry.

    Attributes:
        vendor: Of the INQUIRY data; padding does not count.
        model: Of the INQUIRY data, all of it; of a built-in entry its beginning.
        flags: What is special.
        built_in: True for an entry of `KNOWN_DEVICES`.
    """

    vendor: str
    model: str
    flags: Quirk
    built_in: bool = False

    def __str__(self) -> str:
        """As in ``/proc/scsi/device_info``: somebody's own entries are padded."""
        width = (0, 0) if self.built_in else (_VENDOR_CHARACTERS, _MODEL_CHARACTERS)
        return f"'{self.vendor:<{width[0]}}' '{self.model:<{width[1]}}' {int(self.flags):#x}"

    def means(self, vendor: str, model: str) -> bool:
        """Return whether it is about a device."""
        if self.built_in:  # the kernel lets these begin with spaces
            return vendor.strip() == self.vendor and model.lstrip().startswith(self.model)
        return vendor.rstrip() == self.vendor and model.rstrip() == self.model


_BUILT_IN = tuple(
    QuirkEntry(vendor, model, Quirk(flags), built_in=True) for vendor, model, flags in KNOWN_DEVICES
)
_BUILT_IN_OF = {
    vendor: tuple(entry for entry in _BUILT_IN if entry.vendor == vendor)
    for vendor in {entry.vendor for entry in _BUILT_IN}
}


class QuirkTable:
    """Entries in order; the first that matches gives the flags of a device (rule SC-30).

    Args:
        default: Flags of a device that no entry matches.
    """

    def __init__(self, default: Quirk = _NONE) -> None:
        self.default = default
        self._entries: list[QuirkEntry] = []
        self._adding = threading.Lock()

    def entries(self) -> tuple[QuirkEntry, ...]:
        """Return the entries in the order in which they are tried."""
        return (*self._entries, *_BUILT_IN)

    def add(self, text: str, *, first: bool = False) -> QuirkEntry:
        """Add an entry written ``vendor:model:flags``, as for the kernel's ``dev_flags``.

        Args:
            text: The entry.
            first: True to have it tried before those that are there, as the kernel does with what is
                written to ``/proc/scsi/device_info``.

        Raises:
            InvalidRequest: If a part is missing, too long, or a flag bit has no meaning.
        """
        parts = text.split(":")
        if len(parts) != 3 or not parts[0]:
            raise InvalidRequest(f"quirk {text!r}: write vendor:model:flags, such as Acme:RAID:0x240")
        vendor, model, flags = parts
        try:
            bits = int(flags, 0)
        except ValueError:
            raise InvalidRequest(f"quirk {text!r}: flags {flags!r} is not a number") from None
        undefined = bits & ~sum(Quirk)
        if bits < 0 or undefined:
            raise InvalidRequest(f"quirk {text!r}: flag bits {undefined:#x} have no meaning")
        if len(vendor) > _VENDOR_CHARACTERS or len(model) > _MODEL_CHARACTERS:
            raise InvalidRequest(f"quirk {text!r}: a vendor has at most 8 characters, a model at most 16")
        entry = QuirkEntry(vendor.rstrip(), model.rstrip(), Quirk(bits))
        # A new list each time: a scan in another thread may be on its way through the old one.
        with self._adding:
            self._entries = [entry, *self._entries] if first else [*self._entries, entry]
        return entry

    def lookup(self, vendor: str, model: str) -> Quirk:
        """Return the flags for a device."""
        for entry in (*self._entries, *_BUILT_IN_OF.get(vendor.strip(), ())):
            if entry.means(vendor, model):
                return entry.flags
        return self.default
