"""Which device, as rules see it: the kernel's in sysfs, the daemon's, or one that its URL opens."""

from __future__ import annotations

import argparse
import base64
import errno
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from midlayer.address import Address
from midlayer.device_url import (
    AddressForm,
    DeviceUrl,
    IscsiForm,
    NodeForm,
    VirtualForm,
    is_name,
    parse_device_url,
)
from midlayer.errors import DeviceUrlError, NodeError
from midlayer.frontends.naming import for_the_daemon, local_path
from midlayer.frontends.own_devices import OwnEnvironment, first_of_its_kind
from midlayer.rules import DeviceView, Environment, PlainView, SystemEnvironment
from midlayer.rules.sysfs_view import SysfsView

_CLASSES = ("block", "scsi_generic", "scsi_tape", "scsi_changer")


@contextmanager
def viewed(options: argparse.Namespace, *, programs: bool = True) -> Iterator[tuple[DeviceView, Environment]]:
    """Give the device that the user named, and the environment in which rules see it.

    Raises:
        DeviceUrlError: If the text names no device.
        NodeError: If there is no such device.
    """
    text = options.device
    if text.startswith(("/sys/", "/devices/", "/class/", "/block/", "/bus/")):
        yield _in_sysfs(text if text.startswith("/sys/") else f"/sys{text}", text), SystemEnvironment()
        return
    form = None if is_name(text) else parse_device_url(text)
    if isinstance(form, VirtualForm | IscsiForm):
        from midlayer.device import open_device

        with closing(open_device(text)) as device:
            view = first_of_its_kind(device.logical_unit)
            yield view, OwnEnvironment(view, programs=programs)
        return
    seen = _of_daemon(options, form)
    if seen is None:
        yield _of_kernel(form or parse_device_url(local_path(text)), text), SystemEnvironment()
    elif (own := seen.view) is not None:
        yield own, OwnEnvironment(own, programs=programs, given=seen.given)
    else:
        kernel_form = form if isinstance(form, NodeForm) else AddressForm(Address.parse(seen.address))
        yield _of_kernel(kernel_form, text), SystemEnvironment(given=seen.given)


class _Seen(NamedTuple):
    """What the daemon says of a device; `view` is None for one of the kernel's."""

    view: PlainView | None
    address: str
    given: Mapping[str, str]


def _of_daemon(options: argparse.Namespace, form: DeviceUrl | None) -> _Seen | None:
    """Ask the daemon for a device; None if a path names the kernel's, or no daemon is there to ask."""
    socket = for_the_daemon(options.device, options.socket)
    if socket is None:
        return None
    from midlayer.frontends.cli.client import Client

    with Client(socket) as client:
        answer = client.get("info", options.device)
    view: PlainView | None = None
    for seen in reversed(answer["devices"]):
        view = _rebuilt(seen, view)
    return _Seen(view, answer["address"], answer["given"])


def _rebuilt(seen: Mapping[str, Any], parent: PlainView | None) -> PlainView:
    number = seen["devnum"]
    return PlainView(
        devpath=seen["devpath"],
        subsystem=seen["subsystem"],
        driver=seen["driver"],
        devnode=seen["devnode"],
        devnum=None if number is None else (number[0], number[1]),
        own_properties=seen["properties"],
        attributes={name: base64.b64decode(data) for name, data in seen["attributes"].items()},
        parent=parent,
    )


def _of_kernel(form: DeviceUrl, text: str) -> SysfsView:
    if isinstance(form, AddressForm):
        return _in_sysfs(f"/sys/bus/scsi/devices/{form.address}", text)
    if not isinstance(form, NodeForm):
        raise DeviceUrlError(f"{text!r}: rules know no such device")
    if Path(form.path).exists():
        found = SysfsView.of_node(form.path)
        if found is not None:
            return found
    for place in _CLASSES:
        found = SysfsView.find(f"/sys/class/{place}/{form.name}")
        if found is not None:
            return found
    raise _missing(text)


def _in_sysfs(path: str, text: str) -> SysfsView:
    found = SysfsView.find(path)
    if found is None:
        raise _missing(text)
    return found


def _missing(text: str) -> NodeError:
    error = NodeError(f"{text}: this kernel has no such device; see lsscsi, or give a path below /sys")
    error.errno = errno.ENODEV
    return error
