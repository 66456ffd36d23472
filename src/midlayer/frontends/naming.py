"""Who a name of a device is for: the daemon, or this process and the kernel."""

from __future__ import annotations

from pathlib import Path

from midlayer.device_url import AddressForm, NodeForm, is_name, is_node, parse_device_url
from midlayer.frontends.places import default_socket


def for_the_daemon(text: str, socket: Path | None) -> Path | None:
    """Return the socket of the daemon that has to be asked for a device; None if it is opened here.

    The daemon is asked for addresses, bare nodes and names that a rule gave. A path that is there is the
    kernel's, and one that is not may be such a name; everything is the kernel's where no daemon runs.

    Args:
        text: As the user wrote it.
        socket: The daemon's, if the user named one.

    Raises:
        DeviceUrlError: If the text has no form of a device.
    """
    place = socket or default_socket()
    if socket is None and not place.exists():
        return None
    if is_name(text):
        return place
    form = parse_device_url(text)
    if isinstance(form, AddressForm):
        return place
    if not isinstance(form, NodeForm):
        return None
    if form.explicit and (is_node(text) or Path(form.path).exists()):
        return None
    return place


def local_path(text: str) -> str:
    """Return a name such as ``disk/by-id/…`` as the path of the link that is there; others as they are."""
    path = f"/dev/{text}"
    return path if is_name(text) and Path(path).exists() else text
