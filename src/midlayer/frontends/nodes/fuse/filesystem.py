"""The mount of ``midlayer up --nodes``: the snapshot as it is, with nodes and proc files that answer.

Directories, links and attributes are those of the snapshot (`Tree`). A node is a regular file that takes
ioctl, read, write and poll: a device file in a mount would lead to the kernel's own driver.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

from midlayer.frontends.nodes.fuse import protocol
from midlayer.frontends.nodes.fuse.connection import MOST_WRITE, Call, Handler
from midlayer.frontends.nodes.fuse.handles import Handles, NodeHandle, TextHandle
from midlayer.frontends.nodes.fuse.protocol import Opcode
from midlayer.frontends.nodes.server import NodeServer
from midlayer.upper.sg.parameters import Caller

NODE_MODE = stat.S_IFREG | 0o600
_MOST_PAGES = MOST_WRITE // 4096


class NodeFilesystem:
    """Answers the requests of a mount.

    Args:
        server: Has the snapshot, the nodes and the proc files.
        handles: What programs have open.
    """

    def __init__(self, server: NodeServer, handles: Handles) -> None:
        self._server = server
        self._root = server.directory / "tree"
        self._owner = os.geteuid()
        self._handles = handles
        self._names = _Names()
        self.handlers: dict[int, Handler] = {
            **handles.handlers,
            Opcode.INIT: _initialise,
            Opcode.LOOKUP: self._lookup,
            Opcode.FORGET: self._forget,
            Opcode.BATCH_FORGET: self._forget_many,
            Opcode.GETATTR: self._getattr,
            Opcode.SETATTR: self._getattr,  # what a shell does before it writes: cut the file to nothing
            Opcode.READLINK: self._readlink,
            Opcode.OPEN: self._open,
            Opcode.OPENDIR: self._opendir,
            Opcode.READDIR: self._readdir,
            Opcode.RELEASEDIR: handles.handlers[Opcode.RELEASE],
            Opcode.STATFS: _statfs,
            Opcode.DESTROY: lambda call: b"",
        }

    # Names

    def _lookup(self, call: Call) -> bytes:
        name = os.fsdecode(bytes(call.body).rstrip(b"\0"))
        path = f"{self._names.path(call.node)}/{name}"
        attributes = self._attributes(path)
        node = self._names.look_up(path)
        return protocol.ENTRY_OUT.pack(node, 0, 0, 0, 0, 0) + attributes

    def _forget(self, call: Call) -> bytes:
        (count,) = protocol.FORGET_IN.unpack_from(call.body)
        self._names.forget(call.node, count)
        return b""

    def _forget_many(self, call: Call) -> bytes:
        (count,) = protocol.BATCH_FORGET_IN.unpack_from(call.body)
        at = protocol.BATCH_FORGET_IN.size
        every = call.body[at : at + count * protocol.FORGET_ONE.size]
        for node, lookups in protocol.FORGET_ONE.iter_unpack(every):
            self._names.forget(node, lookups)
        return b""

    def _getattr(self, call: Call) -> bytes:
        return protocol.ATTR_OUT.pack(0, 0) + self._attributes(self._names.path(call.node))

    def _attributes(self, path: str) -> bytes:
        found = os.lstat(f"{self._root}{path}")
        mode = NODE_MODE if _is_node(path) and stat.S_ISREG(found.st_mode) else found.st_mode
        times = (int(found.st_atime), int(found.st_mtime), int(found.st_ctime), 0, 0, 0)
        size = 0 if mode == NODE_MODE else found.st_size
        return protocol.ATTR.pack(
            found.st_ino, size, 0, *times, mode, found.st_nlink, self._owner, found.st_gid, 0, 4096, 0
        )

    def _readlink(self, call: Call) -> bytes:
        return os.fsencode(os.readlink(f"{self._root}{self._names.path(call.node)}"))

    # Directories

    def _opendir(self, call: Call) -> bytes:
        path = Path(f"{self._root}{self._names.path(call.node)}")
        lines = [(".", stat.S_IFDIR), ("..", stat.S_IFDIR)]
        lines += sorted((entry.name, entry.lstat().st_mode) for entry in path.iterdir())
        text = b""
        for name, mode in lines:
            raw = os.fsencode(name)
            size = protocol.DIRENT.size + len(raw)
            at = len(text) + size + -size % 8
            text += protocol.DIRENT.pack(1, at, len(raw), mode >> 12) + raw + bytes(-size % 8)
        return self._handles.opened(TextHandle(text))

    def _readdir(self, call: Call) -> bytes:
        # A listing is one moment's; offsets are places in it, and no entry is cut.
        text = self._handles.handlers[Opcode.READ](call)
        end = 0
        while end + protocol.DIRENT.size <= len(text):
            length = protocol.DIRENT.unpack_from(text, end)[2]
            whole = protocol.DIRENT.size + length
            if end + whole + -whole % 8 > len(text):
                break
            end += whole + -whole % 8
        return text[:end]

    # Files

    def _open(self, call: Call) -> bytes:
        (flags,) = protocol.OPEN_IN.unpack_from(call.body)
        path = self._names.path(call.node)
        access = flags & os.O_ACCMODE
        if _is_node(path):
            device, bsg = self._server.find(path)
            return self._handles.opened(NodeHandle(device, flags, call, owner=self._owner, bsg=bsg))
        if path.startswith("/proc/scsi/"):
            rights = call.uid in (0, self._owner)
            caller = Caller(uid=call.uid, pid=call.thread, sys_admin=rights, sys_rawio=rights)
            file = self._server.proc.open(path.removeprefix("/proc/"), caller, flags)
            text = b"" if access == os.O_WRONLY else file.read()
            return self._handles.opened(TextHandle(text, None if access == os.O_RDONLY else file.write))
        text = b"" if access == os.O_WRONLY else Path(f"{self._root}{path}").read_bytes()
        obey = None if access == os.O_RDONLY else self._server.attribute(path)
        return self._handles.opened(TextHandle(text, obey))


class _Names:
    """The kernel's numbers of files, and their paths; the root is ``/`` without the slash."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths = {protocol.ROOT_ID: ""}
        self._numbers = {"": protocol.ROOT_ID}
        self._lookups = {protocol.ROOT_ID: 1}
        self._last = protocol.ROOT_ID

    def path(self, number: int) -> str:
        path = self._paths.get(number)
        if path is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return path

    def look_up(self, path: str) -> int:
        with self._lock:
            number = self._numbers.get(path)
            if number is None:
                self._last += 1
                number = self._numbers[path] = self._last
                self._paths[number] = path
            self._lookups[number] = self._lookups.get(number, 0) + 1
            return number

    def forget(self, number: int, count: int) -> None:
        with self._lock:
            left = self._lookups.get(number, count) - count
            self._lookups[number] = left
            if left <= 0 and number != protocol.ROOT_ID:
                del self._lookups[number]
                path = self._paths.pop(number, None)
                if path is not None:
                    del self._numbers[path]


def _is_node(path: str) -> bool:
    return path.startswith("/dev/") and path != "/dev/bsg"


def _initialise(call: Call) -> bytes:
    major, _, readahead, flags = protocol.INIT_IN.unpack_from(call.body)
    if major != protocol.VERSION:
        raise OSError(errno.EPROTO, "the kernel speaks another version of FUSE")
    wanted = protocol.INIT_BIG_WRITES | protocol.INIT_PARALLEL_DIROPS | protocol.INIT_MAX_PAGES
    version = (protocol.VERSION, protocol.MINOR_VERSION)
    return protocol.INIT_OUT.pack(
        *version, readahead, flags & wanted, 64, 48, MOST_WRITE, 1, _MOST_PAGES, 0, 0
    )


def _statfs(call: Call) -> bytes:
    return protocol.STATFS_OUT.pack(0, 0, 0, 0, 0, 4096, 255, 4096)
