"""The tree below ``/proc/scsi``: which files there are, and who may open them."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Literal

from midlayer.upper.sg.parameters import MAX_RESERVED_SIZE, ROOT, Caller
from midlayer.upper.sg.proc import scsi_files, sg_debug, sg_tables
from midlayer.upper.sg.proc.attach_order import AttachOrder
from midlayer.upper.sg.proc.file import READ_WRITE, Entry, ProcFile
from midlayer.upper.sg.proc.host_file import of_host
from midlayer.upper.sg.proc.numbers import kstrtoul, refusal
from midlayer.upper.sg.proc.views import NamedDevices, SgRegistry

if TYPE_CHECKING:
    from midlayer.mid.subsystem import Subsystem

Flavour = Literal["linux-6", "linux-2.4"]
"""Whose files to imitate: a kernel of today, or the one of the document."""


class ProcTree:
    """Everything below ``/proc/scsi``, for paths that begin with ``scsi``.

    Args:
        subsystem: Whose hosts and devices.
        sg: Whose open descriptors; without it, devices are known by their names and nobody opens them.
        flavour: ``linux-6`` or ``linux-2.4``.
        first_minor: Minor number of the device that these files call ``sg0``.
    """

    def __init__(
        self,
        subsystem: Subsystem,
        sg: SgRegistry | None = None,
        *,
        flavour: Flavour = "linux-6",
        first_minor: int = 0,
    ) -> None:
        self._subsystem = subsystem
        self._sg: SgRegistry = sg if sg is not None else NamedDevices(subsystem)
        self._parameters = self._sg.parameters
        self._first_minor = first_minor
        self._order = AttachOrder.of(subsystem)
        self._fixed = {"linux-6": self._of_linux_6, "linux-2.4": self._of_linux_2_4}[flavour]()

    def names(self) -> tuple[str, ...]:
        """Return the paths of all files, sorted."""
        return tuple(sorted(self._entries()))

    def listdir(self, path: str) -> tuple[str, ...]:
        """Return the names in a directory, sorted.

        Raises:
            OSError: ENOENT, or ENOTDIR for a file.
        """
        path = path.strip("/")
        entries = self._entries()
        if path in entries:
            raise refusal(errno.ENOTDIR, path)
        before = f"{path}/" if path else ""
        found = {name[len(before) :].partition("/")[0] for name in entries if name.startswith(before)}
        if not found:
            raise refusal(errno.ENOENT, path)
        return tuple(sorted(found))

    def mode(self, path: str) -> int:
        """Return ``st_mode`` of a file or directory.

        Raises:
            OSError: ENOENT.
        """
        entry = self._entries().get(path.strip("/"))
        if entry is not None:
            return stat.S_IFREG | entry.mode
        self.listdir(path)
        return stat.S_IFDIR | 0o555

    def open(self, path: str, caller: Caller = ROOT, flags: int = os.O_RDONLY) -> ProcFile:
        """Open a file; what it says is fixed now.

        Args:
            path: Such as ``scsi/sg/debug``.
            caller: Who opens it; the files belong to root.
            flags: As for open(2): the access mode counts.

        Raises:
            OSError: ENOENT, EISDIR, or EACCES if the caller may not open it for writing.
        """
        path = path.strip("/")
        entry = self._entries().get(path)
        if entry is None:
            self.listdir(path)
            raise refusal(errno.EISDIR, path)
        if flags & os.O_ACCMODE != os.O_RDONLY and caller.uid != 0:
            raise refusal(errno.EACCES, path)
        return ProcFile(path, entry, caller, flags)

    # The files

    def _entries(self) -> dict[str, Entry]:
        entries = {f"scsi/{host.proc_name}/{host.host_no}": of_host(host) for host in self._subsystem.hosts()}
        return entries | self._fixed  # no driver can take the place of a file that is always there

    def _of_linux_6(self) -> dict[str, Entry]:
        quirks = self._subsystem.quirks
        return self._of_both() | {
            "scsi/scsi": Entry(lambda: scsi_files.attached_6(self._order.devices()), self._write_attached),
            "scsi/device_info": Entry(
                lambda: scsi_files.device_info(quirks),
                lambda data, _: scsi_files.write_device_info(quirks, data),
            ),
            "scsi/sg/debug": Entry(
                lambda: sg_debug.debug_6(self._rows(), self._parameters.def_reserved_size)
            ),
            "scsi/sg/devices": Entry(lambda: sg_tables.devices_6(self._rows())),
            "scsi/sg/version": Entry(lambda: sg_tables.VERSION_6),
        }

    def _of_linux_2_4(self) -> dict[str, Entry]:
        hosts = self._subsystem.hosts
        return self._of_both() | {
            "scsi/scsi": Entry(
                lambda: scsi_files.attached_2_4(self._order.devices()), self._write_attached, READ_WRITE
            ),
            "scsi/sg/debug": Entry(
                lambda: sg_debug.debug_2_4(self._rows(), self._parameters.def_reserved_size)
            ),
            "scsi/sg/devices": Entry(lambda: sg_tables.devices_2_4(self._rows())),
            "scsi/sg/hosts": Entry(lambda: sg_tables.hosts(hosts())),
            "scsi/sg/host_hdr": Entry(lambda: sg_tables.HOST_HEADINGS),
            "scsi/sg/host_strs": Entry(lambda: sg_tables.host_strings(hosts())),
            "scsi/sg/version": Entry(lambda: sg_tables.VERSION_2_4),
        }

    def _of_both(self) -> dict[str, Entry]:
        parameters = self._parameters
        return {
            "scsi/sg/allow_dio": Entry(
                lambda: f"{int(parameters.allow_dio)}\n", self._write_allow_dio, READ_WRITE
            ),
            "scsi/sg/def_reserved_size": Entry(
                lambda: f"{parameters.def_reserved_size}\n", self._write_def_reserved_size, READ_WRITE
            ),
            "scsi/sg/device_hdr": Entry(lambda: sg_tables.DEVICE_HEADINGS),
            "scsi/sg/device_strs": Entry(lambda: sg_tables.device_strings(self._rows())),
        }

    def _rows(self) -> sg_debug.Rows:
        return sg_tables.in_rows(self._sg.devices(), self._first_minor)

    # Writes

    def _write_allow_dio(self, data: bytes, caller: Caller) -> int:
        _check_rights(caller)
        self._parameters.allow_dio = kstrtoul(data) != 0
        return len(data)

    def _write_def_reserved_size(self, data: bytes, caller: Caller) -> int:
        _check_rights(caller)
        size = kstrtoul(data)
        if size > MAX_RESERVED_SIZE:
            raise refusal(errno.ERANGE)
        self._parameters.def_reserved_size = size
        return len(data)

    def _write_attached(self, data: bytes, caller: Caller) -> int:
        return scsi_files.write_attached(self._subsystem, data)


def _check_rights(caller: Caller) -> None:
    if not (caller.sys_admin and caller.sys_rawio):
        raise refusal(errno.EACCES)
