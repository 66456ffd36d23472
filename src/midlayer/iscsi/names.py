"""iSCSI names, port names and TransportIDs (RFC 7143 4.2.7, SPC-4 7.6.4.7)."""

from __future__ import annotations

import re

from midlayer.errors import UsageError

MAX_NAME_BYTES = 223

_FORMS = (
    re.compile(r"iqn\.\d{4}-(?:0[1-9]|1[0-2])\.[a-z0-9.-]+(?::[^\s,\x00-\x1f]+)?"),
    re.compile(r"eui\.[0-9A-Fa-f]{16}"),
    re.compile(r"naa\.(?:[0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})"),
)
_FORBIDDEN = re.compile(r"[\x00-\x2c\x2f\x3b-\x40\x5b-\x60\x7b-\x7f]")


def is_name(text: str) -> bool:
    """Return True if `text` is an iqn, eui or naa name."""
    return (
        len(text.encode()) <= MAX_NAME_BYTES
        and not _FORBIDDEN.search(text)
        and any(form.fullmatch(text) for form in _FORMS)
    )


def check_name(text: str) -> str:
    """Return an iSCSI name in lower case, in which names are compared (RFC 3722).

    Raises:
        UsageError: If it is none.
    """
    name = text.lower()
    if not is_name(name):
        raise UsageError(f"{text!r} is not an iSCSI name; write iqn.2026-11.com.example:name, eui.… or naa.…")
    return name


def port_name(initiator_name: str, isid: bytes) -> str:
    """Return the name of an initiator port: ``iqn.…,i,0x00023d000001``."""
    return f"{initiator_name},i,0x{isid.hex()}"


def transport_id(initiator_name: str, isid: bytes) -> bytes:
    """Return the TransportID of an initiator port: format 01b, protocol 5, padded to a multiple of four."""
    name = port_name(initiator_name, isid).encode() + b"\0"
    name += bytes(max(-len(name) % 4, 20 - len(name)))
    return b"\x45\0" + len(name).to_bytes(2, "big") + name
