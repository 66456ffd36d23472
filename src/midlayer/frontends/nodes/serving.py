"""Where a subsystem's nodes are served, and for how long."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from midlayer.errors import DaemonError
from midlayer.frontends.nodes.channel import Channel
from midlayer.frontends.nodes.server import NodeServer
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.sg.device import SgNodes

_MOST_PATH = 107  # bytes of a Unix socket's path
_MOST_DIRECTORY = 80


@contextlib.contextmanager
def serving(
    subsystem: Subsystem, nodes: SgNodes | None = None, *, channel: type[Channel] = Channel
) -> Iterator[Path]:
    """Serve the nodes of a subsystem in a new directory, and yield it: programs need to know it."""
    directory = make_directory()
    with served(subsystem, directory, nodes, channel=channel):
        yield directory


def make_directory() -> Path:
    """Make a private directory with a path that is short enough for a socket."""
    place = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="midlayer-", dir=place if len(place) < _MOST_DIRECTORY else "/tmp"))


@contextlib.contextmanager
def serving_beside(path: Path, subsystem: Subsystem, nodes: SgNodes | None = None) -> Iterator[NodeServer]:
    """Serve the nodes of a daemon's subsystem beside its API, and yield the server.

    Args:
        path: The API's socket, which this process has: what an earlier daemon left beside it is removed.
        subsystem: The daemon's.
        nodes: Its sg devices.

    Raises:
        DaemonError: If the path is too long, or the directory can not be made.
    """
    directory = beside(path)
    if len(str(directory / "socket")) > _MOST_PATH:
        raise DaemonError(f"{directory}/socket: too long for a Unix socket; choose a shorter --socket")
    try:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700)
    except OSError as error:
        raise DaemonError(f"{directory}: {error.strerror}; programs can not connect there") from error
    with served(subsystem, directory, nodes) as server:
        yield server


def beside(path: Path) -> Path:
    """Return where a daemon whose API has this socket serves its nodes."""
    return path.absolute().with_name(f"{path.name}.nodes")


def find_served(path: Path) -> Path:
    """Return the directory of a daemon's nodes.

    Args:
        path: The socket of its API.

    Raises:
        DaemonError: If no daemon serves there.
    """
    directory = beside(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(str(directory / "socket"))
        except OSError as error:
            raise DaemonError(
                f"{path}: no daemon serves nodes here ({error.strerror or error}); start one: midlayer up"
            ) from error
    return directory


@contextlib.contextmanager
def served(
    subsystem: Subsystem,
    directory: Path,
    nodes: SgNodes | None = None,
    *,
    channel: type[Channel] = Channel,
) -> Iterator[NodeServer]:
    """Serve the nodes of a subsystem in a directory, which is removed at the end; yield the server."""
    try:
        server = NodeServer(subsystem, nodes or sg_nodes(subsystem), directory, channel=channel)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def sg_nodes(subsystem: Subsystem) -> SgNodes:
    """Return the sg driver of a subsystem, and register one if it has none that keeps nodes."""
    for driver in subsystem.upper_drivers():
        if isinstance(driver, SgNodes):
            return driver
    nodes = SgNodes(first_minor=subsystem.first_host_no)
    subsystem.register_upper(nodes)
    return nodes
