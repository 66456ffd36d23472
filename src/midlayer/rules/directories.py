"""Where rule files are: several directories as one, by file name."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from midlayer.errors import NodeError

DIRECTORIES = (
    "/etc/udev/rules.d",
    "/run/udev/rules.d",
    "/usr/local/lib/udev/rules.d",
    "/usr/lib/udev/rules.d",
    "/lib/udev/rules.d",
)
"""udev's own, the one that decides first."""

_SUFFIX = ".rules"
Stamp = tuple[tuple[str, int, int, int], ...]
"""What tells whether rule files have changed: name, inode, size and time of each."""


def files(directories: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return the rule files, in the order of their names.

    A file hides those of the same name in later directories; an empty one, or a link to ``/dev/null``,
    does nothing else. A directory that is not there has no files. Something else in place of a directory
    is taken for a rule file.

    Raises:
        NodeError: If a directory is there and can not be read.
    """
    found: dict[str, Path] = {}
    for directory in directories:
        for name, path in _entries(Path(directory)):
            found.setdefault(name, path)
    return [path for _, path in sorted(found.items()) if not _is_mask(path)]


def _entries(directory: Path) -> list[tuple[str, Path]]:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        return [(directory.name, directory)]
    except OSError as error:
        raise _refused(directory, error) from error
    return [(name, directory / name) for name in names if name.endswith(_SUFFIX) and not name.startswith(".")]


def _is_mask(path: Path) -> bool:
    """Return whether nothing is in a file, or it is no file: it only hides others."""
    try:
        status = os.stat(path)
    except OSError:
        return True  # a link that leads nowhere
    return not stat.S_ISREG(status.st_mode) or status.st_size == 0


def stamp(directories: Iterable[str | os.PathLike[str]]) -> Stamp:
    """Return what changes when a rule file does.

    Raises:
        NodeError: If a directory is there and can not be read.
    """
    found = []
    for directory in directories:
        for _, path in _entries(Path(directory)):
            try:
                status = os.stat(path)
            except OSError:
                continue
            found.append((str(path), status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(sorted(found))


def read(path: Path) -> bytes:
    """Return what is in a rule file.

    Raises:
        NodeError: If it can not be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> NodeError:
    refusal = NodeError(f"{path}: {os.strerror(error.errno or 0)}; rules can not be read")
    refusal.errno = error.errno
    return refusal
