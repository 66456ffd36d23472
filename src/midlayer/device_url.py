"""The forms in which a user may name a device, parsed in one place.

=========================  ==============================================================
``2:0:1:0``                host, channel, target and LUN
``/dev/sg3``, ``sg3``      an sg node; ``/dev/sda``, ``sda`` and the like stand for its device
``virtual:disk?size=1G``   a virtual unit that lives as long as the command
``iscsi://host/iqn/lun``   a LUN of an iSCSI target
=========================  ==============================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from midlayer.address import Address
from midlayer.errors import AddressError, DeviceUrlError

_NODE = re.compile(r"(?:/dev/)?((?:sg\d+)|(?:sd[a-z]+)|(?:n?st\d+)|(?:sr\d+)|(?:ch\d+))", re.ASCII)


_NAME = re.compile(r"[^\W\d][^\s:?/]*(?:/[^\s/][^\s/]*)*")
_ISCSI_PATH = re.compile(r"/([^/]+)/(\d{1,20})", re.ASCII)
_ISCSI_PORT = 3260
_USER = re.compile(r"//[^/]*@")


class AddressForm(NamedTuple):
    """A device by its address in the subsystem."""

    address: Address


class NodeForm(NamedTuple):
    """A device by its node; `explicit` if the path was written out, so that it is the kernel's."""

    name: str
    explicit: bool
    path: str


class VirtualForm(NamedTuple):
    """A virtual unit to be made; `options` are the keys of a unit in a configuration."""

    options: Mapping[str, str]


class IscsiForm(NamedTuple):
    """A LUN of an iSCSI target; `options` are keys of a session in a configuration."""

    host: str
    port: int
    target_name: str
    lun: int
    options: Mapping[str, str] = {}

    @property
    def portal(self) -> str:
        """Host and port as text."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


DeviceUrl = AddressForm | NodeForm | VirtualForm | IscsiForm

FORMS = "write 2:0:1:0, /dev/sg3, sg3, virtual:disk?size=1G or iscsi://host/iqn/lun"


def is_name(text: str) -> bool:
    """Return whether a text may be a name that a rule gave a device: ``boot_disk``, ``disk/by-id/…``."""
    return _NAME.fullmatch(text) is not None and _NODE.fullmatch(text) is None


def is_node(text: str) -> bool:
    """Return whether a text names a node as the kernel does: ``/dev/sg3``, ``sda``."""
    return _NODE.fullmatch(text) is not None


def parse_device_url(text: str) -> DeviceUrl:
    """Read a device in any of the known forms.

    Raises:
        DeviceUrlError: If `text` has none of them.
    """
    if text.startswith("virtual:"):
        return _virtual(text)
    if text.startswith("iscsi://"):
        return _iscsi(text)
    node = _NODE.fullmatch(text)
    if node is not None:
        explicit = text.startswith("/")
        return NodeForm(node[1], explicit, text if explicit else f"/dev/{text}")
    if text.startswith("/") and "\0" not in text:
        return NodeForm(text.rsplit("/", 1)[1], True, text)
    if text.count(":") == 3:
        try:
            return AddressForm(Address.parse(text))
        except AddressError as error:
            raise DeviceUrlError(str(error)) from None
    raise DeviceUrlError(f"{text!r} does not name a device; {FORMS}")


def _virtual(text: str) -> VirtualForm:
    kind, _, query = text.removeprefix("virtual:").partition("?")
    return VirtualForm(_options(text, query, {"type": kind or "disk"}))


def _options(text: str, query: str, known: Mapping[str, str] | None = None) -> dict[str, str]:
    options = dict(known or {})
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise DeviceUrlError(f"{text!r}: write options as key=value, joined by &") from None
    for key, value in pairs:
        if key in options:
            raise DeviceUrlError(f"{text!r}: {key} is given twice")
        options[key] = value
    return options


def _iscsi(text: str) -> IscsiForm:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    path = _ISCSI_PATH.fullmatch(parts.path)
    if not parts.hostname or path is None:
        shown = _USER.sub("//…@", text)  # a password is not for messages
        raise DeviceUrlError(f"{shown!r}: write iscsi://host[:port]/iqn/lun")
    options = _options(text, parts.query)
    if parts.username:
        options.setdefault("user", parts.username)
    if parts.password or "%" in options.get("user", ""):
        raise DeviceUrlError(
            f"{_USER.sub('//…@', text)!r}: a secret does not belong on a command line; write ?secret=FILE"
        )
    return IscsiForm(parts.hostname, _ISCSI_PORT if port is None else port, path[1], int(path[2]), options)
