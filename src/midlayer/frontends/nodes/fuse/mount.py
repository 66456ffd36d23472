"""Mounting: by mount(2) for root, by ``fusermount3`` for everybody else."""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from midlayer.errors import UsageError
from midlayer.frontends.nodes.fuse.connection import Connection
from midlayer.frontends.nodes.fuse.filesystem import NodeFilesystem
from midlayer.frontends.nodes.fuse.handles import Handles
from midlayer.frontends.nodes.server import NodeServer

DEVICE = Path("/dev/fuse")
HELPERS = ("fusermount3", "fusermount")

_NOSUID, _NODEV, _NOEXEC = 2, 4, 8
_FORCE, _DETACH = 1, 2
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def mounted(server: NodeServer, directory: Path) -> Iterator[None]:
    """Have the nodes of a server in a directory, which is made if it is not there, until the end.

    Raises:
        UsageError: If that is not possible here; with what to do.
    """
    clean_up(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{directory}: {error.strerror}; nodes are mounted on a directory") from error
    descriptor = _mount(directory)
    handles = Handles()
    connection = Connection(descriptor, NodeFilesystem(server, handles).handlers, name="fuse")
    handles.connection = connection
    connection.start()
    try:
        yield
    finally:
        unmount(directory)
        connection.close()
        handles.close()


def clean_up(directory: Path) -> None:
    """Unmount what a daemon left that was killed: there the kernel says that nobody is connected."""
    try:
        directory.stat()
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            unmount(directory)


def unmount(directory: Path) -> None:
    """Unmount, whoever has something open there; it is no error if nothing is mounted."""
    if _is_root():
        path = os.fsencode(directory)
        _libc.umount2(path, _FORCE)  # ends the calls that wait
        _libc.umount2(path, _DETACH)
        return
    helper = _helper()
    if helper is not None:
        subprocess.run([helper, "-u", "-z", str(directory)], check=False, capture_output=True)


def _mount(directory: Path) -> int:
    if not DEVICE.exists() or not stat.S_ISCHR(DEVICE.stat().st_mode):
        raise UsageError(
            f"--nodes: {DEVICE} is not there; load the module (modprobe fuse), or let the container have it"
        )
    return _mount_as_root(directory) if _is_root() else _mount_by_helper(directory)


def _mount_as_root(directory: Path) -> int:
    descriptor = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    who = f"user_id={os.getuid()},group_id={os.getgid()}"
    options = f"fd={descriptor},rootmode=40000,{who},default_permissions"
    flags = _NOSUID | _NODEV | _NOEXEC
    if _libc.mount(b"midlayer", os.fsencode(directory), b"fuse.midlayer", flags, options.encode()) != 0:
        number = ctypes.get_errno()
        os.close(descriptor)
        raise UsageError(f"{directory}: can not mount: {os.strerror(number)}")
    return descriptor


def _mount_by_helper(directory: Path) -> int:
    helper = _helper()
    if helper is None:
        raise UsageError("--nodes: fusermount3 is not there; install it (apt-get install fuse3), or be root")
    ours, its = socket.socketpair()
    with ours, its:
        options = "fsname=midlayer,subtype=midlayer,default_permissions,nosuid,nodev,noexec"
        command = [helper, "-o", options, "--", str(directory)]
        done = subprocess.run(
            command,
            env={**os.environ, "_FUSE_COMMFD": str(its.fileno())},
            pass_fds=(its.fileno(),),
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UsageError(f"{directory}: {done.stderr.strip() or 'fusermount3 failed'}")
        received = array.array("i")
        _, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(received.itemsize))
        for _, kind, data in ancillary:
            if kind == socket.SCM_RIGHTS:
                received.frombytes(data[: received.itemsize])
    if not received:
        raise UsageError(f"{directory}: fusermount3 gave no descriptor")
    os.set_inheritable(received[0], False)
    return received[0]


def _helper() -> str | None:
    return next((found for name in HELPERS if (found := shutil.which(name))), None)


def _is_root() -> bool:
    return os.geteuid() == 0
