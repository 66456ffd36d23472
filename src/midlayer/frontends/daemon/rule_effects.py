"""What rules do at once, before what RUN names: attributes, kernel parameters, whose a node of ours is."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from midlayer.address import Address
from midlayer.errors import MidlayerError
from midlayer.frontends.nodes import attributes
from midlayer.mid.subsystem import Subsystem
from midlayer.rules import DeviceView, Outcome
from midlayer.rules.outcome import Write
from midlayer.rules.path_id import OWN_BUS
from midlayer.rules.text import encode, one_line

_log = logging.getLogger("midlayer.rules")

_OURS = f"/sys/devices/{OWN_BUS}/"


class NodeRights(NamedTuple):
    """Whose a node is to be.

    Attributes:
        name: Below ``/dev``.
        owner, group, mode: Numbers; None where no rule says.
    """

    name: str
    owner: int | None
    group: int | None
    mode: int | None


def carry_out_writes(subsystem: Subsystem, outcome: Outcome) -> None:
    """Write what ATTR{…}= and SYSCTL{…}= say; what can not be written is said in the log.

    A value that is there already is not written again: a write may be a change, for which rules are applied.
    """
    for write in outcome.writes:
        try:
            _write(subsystem, write)
        except (OSError, ValueError, MidlayerError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            _log.warning(
                "%s:%d: %s can not be set to %s: %s",
                write.file,
                write.line,
                one_line(write.path),
                one_line(write.value),
                reason,
            )


def rights_of(views: Iterable[DeviceView], outcomes: Iterable[Outcome]) -> tuple[NodeRights, ...]:
    """Return what OWNER, GROUP and MODE say of nodes; those of which they say nothing are left out."""
    found = (
        NodeRights(view.devnode.removeprefix("/dev/"), outcome.owner, outcome.group, outcome.mode)
        for view, outcome in zip(views, outcomes, strict=True)
        if view.devnode
    )
    return tuple(rights for rights in found if rights[1:] != (None, None, None))


def _write(subsystem: Subsystem, write: Write) -> None:
    value = encode(write.value)
    if write.path.startswith(_OURS):
        obey = attributes.writer(subsystem, write.path)
        if _own_value(subsystem, write.path) != value.strip():
            obey(value)
        return
    with suppress(OSError):  # it may not be readable
        if Path(write.path).read_bytes().strip() == value.strip():
            return
    # No file is made, and a link leads where the kernel says.
    descriptor = os.open(write.path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if os.write(descriptor, value) != len(value):
            raise OSError(errno.EIO, "it was cut off")
    finally:
        os.close(descriptor)


def _own_value(subsystem: Subsystem, path: str) -> bytes | None:
    """Return what an attribute of ours has now; None for one that can only be written."""
    *_, place, name = path.split("/")
    if name in attributes.WRITE_ONLY:
        return None
    if place.startswith("host"):
        text = attributes.of_host(subsystem.host(int(place.removeprefix("host"))))[name]
    else:
        text = attributes.of_device(subsystem.device(Address.parse(place)))[name]
    return (text.encode() if isinstance(text, str) else text).strip()
