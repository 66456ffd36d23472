"""``midlayer up --nodes-cuse``: true character devices, one connection to ``/dev/cuse`` for each."""

from __future__ import annotations

import errno
import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from midlayer.errors import UsageError
from midlayer.frontends.nodes.fuse import protocol
from midlayer.frontends.nodes.fuse.connection import MOST_WRITE, Call, Connection, Handler
from midlayer.frontends.nodes.fuse.handles import Handles, NodeHandle
from midlayer.frontends.nodes.fuse.protocol import Opcode
from midlayer.frontends.nodes.tree import SG_MAJOR
from midlayer.mid.events import UpperDriver
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.upper.scsimon.node import ScsimonNode
from midlayer.upper.sg.device import SgDevice, SgNodes

if TYPE_CHECKING:
    from midlayer.frontends.daemon.rule_effects import NodeRights

_log = logging.getLogger("midlayer.nodes")

DEVICE = Path("/dev/cuse")
ANY_MAJOR = 0
"""Has the kernel choose one."""

_CLASS = Path("/sys/class/cuse")
_SETTLE_S = 30.0


class CuseNodes(UpperDriver):
    """Keeps a character device for each sg device of a subsystem.

    Args:
        nodes: The sg devices.

    Raises:
        UsageError: If CUSE is not here; with what to do.
    """

    def __init__(self, nodes: SgNodes) -> None:
        if not DEVICE.exists():
            raise UsageError(f"--nodes-cuse: {DEVICE} is not there; load the module (modprobe cuse) as root")
        if not os.access(DEVICE, os.R_OK | os.W_OK):
            raise UsageError(f"--nodes-cuse: no right to {DEVICE}; run as root")
        self._nodes = nodes
        self._lock = threading.Lock()
        self._devices: dict[LogicalUnit, CuseDevice] = {}
        self._scsimon: CuseDevice | None = None
        self._rights: dict[str, NodeRights] = {}
        self._major = ANY_MAJOR if _sg_is_loaded() else SG_MAJOR
        if self._major != SG_MAJOR:
            _log.warning(
                "the kernel's sg driver has major number %d to itself: sg_dd, sgp_dd and others that look for"
                " it take our nodes for files; without it (rmmod sg) the number is ours",
                SG_MAJOR,
            )

    def match(self, device: LogicalUnit) -> bool:
        """Every device but those that have a node of the kernel's."""
        return not device.host.template.names_its_devices

    def attach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        node = next((node for node in self._nodes.devices() if node.device is device), None)
        if node is None or node.minor < 0:
            return
        made = CuseDevice(node, self._major)
        if made.start():
            with self._lock:
                self._devices[device] = made
                rights = self._rights.get(made.name)
            if rights is not None:
                _give(rights)
        else:
            _log.warning("/dev/%s: the kernel has a device of this name; set first_host_no higher", node.name)

    def detach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        with self._lock:
            made = self._devices.pop(device, None)
        if made is not None:
            made.stop()
            with self._lock:
                self._rights.pop(made.name, None)

    def set_rights(self, rights: NodeRights) -> None:
        """Give a node of ours owner, group and mode, now or once it is there; others are left alone."""
        with self._lock:
            self._rights[rights.name] = rights
            ours = any(made.name == rights.name for made in self._devices.values())
        if ours:
            _give(rights)

    def add_scsimon(self, node: ScsimonNode) -> None:
        """Make ``/dev/scsimon`` too. Its usual major number, misc's, is the kernel's own: it gets another."""
        made = CuseDevice(node, ANY_MAJOR)
        if made.start():
            self._scsimon = made
        else:
            _log.warning("/dev/%s: there is one already, or the kernel does not make it", node.name)

    def stop(self) -> None:
        """Take all devices away."""
        with self._lock:
            devices, self._devices = list(self._devices.values()), {}
        if self._scsimon is not None:
            devices.append(self._scsimon)
            self._scsimon = None
        for made in devices:
            made.stop()


class CuseDevice:
    """One character device.

    Args:
        node: What it leads to.
        major: Its major number; programs know an sg node by sg's.
    """

    def __init__(self, node: SgDevice | ScsimonNode, major: int) -> None:
        self.name = node.name
        self._node = node
        self._major = major
        self._handles = Handles()
        self._settled = threading.Event()
        handlers: dict[int, Handler] = {
            **self._handles.handlers,
            Opcode.CUSE_INIT: self._initialise,
            Opcode.OPEN: self._open,
        }
        descriptor = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        self._connection = Connection(descriptor, handlers, name=self.name, ended=self._settled.set)
        self._handles.connection = self._connection

    def start(self) -> bool:
        """Have the device made; False if there is one of its name, or the kernel refuses it."""
        if Path("/dev", self.name).exists() or (_CLASS / self.name).exists():
            self._connection.close()
            return False
        self._connection.start()
        # The kernel makes it while it takes our answer; in /sys it is before there is a node to be opened.
        if self._settled.wait(_SETTLE_S) and (_CLASS / self.name).exists():
            return True
        self._connection.close()
        return False

    def stop(self) -> None:
        """Take the device away; calls that wait end."""
        try:
            (_CLASS / self.name / "abort").write_text("1")
        except OSError as error:
            if error.errno != errno.ENOENT:
                _log.warning("/dev/%s: %s", self.name, error.strerror)
        self._connection.close()
        self._handles.close()

    def _initialise(self, call: Call) -> bytes:
        call.answered = self._settled.set
        major, _, _, flags = protocol.INIT_IN.unpack_from(call.body)
        if major != protocol.VERSION:
            raise OSError(errno.EPROTO, "the kernel speaks another version of CUSE")
        fixed = protocol.CUSE_INIT_OUT.pack(
            protocol.VERSION,
            protocol.MINOR_VERSION,
            0,
            flags & protocol.CUSE_UNRESTRICTED_IOCTL,
            MOST_WRITE,
            MOST_WRITE,
            self._major,
            self._node.minor,
        )
        return fixed + f"DEVNAME={self.name}\0".encode()

    def _open(self, call: Call) -> bytes:
        (flags,) = protocol.OPEN_IN.unpack_from(call.body)
        return self._handles.opened(NodeHandle(self._node, flags, call, owner=os.geteuid()))


def _give(rights: NodeRights) -> None:
    path = Path("/dev", rights.name)
    try:
        if rights.mode is not None:
            path.chmod(rights.mode & 0o7777)
        owner, group = (-1 if number is None else number for number in (rights.owner, rights.group))
        os.chown(path, owner, group)
    except OSError as error:
        _log.warning("%s: owner, group and mode can not be set: %s", path, error.strerror)


def _sg_is_loaded() -> bool:
    try:
        lines = Path("/proc/devices").read_text().splitlines()
    except OSError:
        return False
    return any(line.split() == [str(SG_MAJOR), "sg"] for line in lines)
