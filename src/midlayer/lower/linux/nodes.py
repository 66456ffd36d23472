"""Opening device nodes and writing sysfs files, with errors that say what is missing."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from pathlib import Path

from midlayer.errors import InvalidRequest, NodeError, NodePermission

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
GONE = (errno.ENODEV, errno.ENXIO)
"""What the kernel says of a device that was removed, or is offline."""


def node_error(code: int, text: str, *, kind: type[NodeError] = NodeError) -> NodeError:
    """Make an error with an errno but with a text of our own."""
    error = kind(text)
    error.errno = code
    return error


def open_node(path: Path) -> int:
    """Open a device node for reading and writing, without waiting.

    Raises:
        NodePermission: If this process may not.
        NodeError: If there is no such node, or it can not be opened for another reason.
        OSError: ENODEV or ENXIO: the node is there, but its device is gone.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        code = error.errno or 0
        if code in GONE:
            raise
        if code in _FORBIDDEN:
            raise forbidden(path, code, "read and write access") from error
        if code == errno.ENOENT:
            hint = f"give a container the node: --device {path}"
            raise node_error(code, f"{path}: no such node; {hint}") from error
        hint = "; another program holds it exclusively (O_EXCL)" if code == errno.EBUSY else ""
        raise node_error(code, f"{path}: {os.strerror(code)}{hint}") from error


def node_behind(path: str, sys_root: str | Path = "/sys") -> str:
    """Return the name of the node that a path leads to: by links, and from a partition to its disk.

    Returns:
        ``sda``; empty if there is no device file.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return ""
    kind = {stat.S_IFBLK: "block", stat.S_IFCHR: "char"}.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return ""
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    place = Path(os.path.realpath(Path(sys_root) / "dev" / kind / number))
    if not place.is_dir():
        return ""
    return place.parent.name if (place / "partition").exists() else place.name


def write_file(path: Path, text: str) -> None:
    """Write a line to a sysfs file.

    Raises:
        NodePermission: If this process may not.
        InvalidRequest: If the kernel does not take the value.
        NodeError: If there is no such file, or the write fails for another reason.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, f"{text}\n".encode())  # `state` takes no value without the end of line
        finally:
            os.close(fd)
    except OSError as error:
        code = error.errno or 0
        if code in _FORBIDDEN:
            raise forbidden(path, code, "write access") from error
        if code in (errno.EINVAL, errno.ERANGE):
            raise InvalidRequest(f"{path}: the kernel does not take {text!r}") from error
        raise node_error(code, f"{path}: {os.strerror(code)}") from error


def forbidden(path: Path, code: int, right: str) -> NodeError:
    """Make the error for a node or file that this process may not use."""
    if code == errno.EROFS:
        text = f"{path}: {right} is missing (mounted read-only); a container needs --privileged for it"
        return node_error(code, text, kind=NodePermission)
    try:
        status = os.stat(path)
    except OSError:
        return node_error(code, f"{path}: {right} is missing; run as root", kind=NodePermission)
    owner, group, mode = _owner(status.st_uid), _group(status.st_gid), stat.S_IMODE(status.st_mode)
    wanted = 0o060 if "read" in right else 0o020
    if os.geteuid() == 0:
        hint = (
            f"being root is not enough: a device rule or a security module forbids it ({os.strerror(code)})"
        )
    elif mode & wanted == wanted and status.st_gid:
        hint = f"run as root or add the user to group {group}"
    else:
        hint = "run as root"
    text = f"{path}: {right} is missing (owner {owner}, group {group}, mode {mode:04o}); {hint}"
    return node_error(code, text, kind=NodePermission)


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
