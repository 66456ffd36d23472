"""``midlayer exec``: run a program on a subsystem of its own, as if its devices were the machine's."""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

from midlayer.errors import MidlayerError, UsageError
from midlayer.frontends.config import OWN_HOSTS_FROM, Config, load
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.nodes.server import NodeServer
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.sg.device import SgNodes

LIBRARY = Path(__file__).with_name("libmidlayer_nodes.so")
NOT_EXECUTABLE, NOT_FOUND, KILLED = 126, 127, 128

_MOST_DIRECTORY = 80  # a Unix socket's path has 107 bytes at most
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def run_program(config: Config, program: Sequence[str]) -> int:
    """Bring up a subsystem, run a program on it, and take the subsystem down again.

    Args:
        config: The subsystem. Its event log is kept in memory.
        program: Its name and arguments.

    Returns:
        The program's exit status; 126 if it can not be executed, 127 if it is not found, 128 + n if
        signal n ended it.

    Raises:
        UsageError: If the preload library was not built.
        MidlayerError: If the subsystem can not be brought up.
    """
    check_library()
    daemon = Daemon(without_absent_kernel(config), None)
    try:
        daemon.start()
        with serving(daemon.subsystem) as directory:
            return run_under(directory, program)
    finally:
        daemon.stop()


def check_library() -> None:
    """Make sure that the preload library is there.

    Raises:
        UsageError: With what to do.
    """
    if not LIBRARY.exists():
        raise UsageError(
            "the preload library is not built: install midlayer where a C compiler is (pip install .)"
        )


def without_absent_kernel(config: Config) -> Config:
    """Leave out the kernel's hosts where the machine has none, so that numbers begin with 0."""
    hosts = Path("/sys/class/scsi_host")
    if not config.kernel or (hosts.is_dir() and any(hosts.iterdir())):
        return config
    first = 0 if config.first_host_no == OWN_HOSTS_FROM else config.first_host_no
    return replace(config, kernel=False, first_host_no=first)


@contextlib.contextmanager
def serving(subsystem: Subsystem, nodes: SgNodes | None = None) -> Iterator[Path]:
    """Serve the nodes of a subsystem, and yield the directory that programs need to know."""
    place = tempfile.gettempdir()
    directory = Path(
        tempfile.mkdtemp(prefix="midlayer-", dir=place if len(place) < _MOST_DIRECTORY else "/tmp")
    )
    try:
        server = NodeServer(subsystem, nodes or sg_nodes(subsystem), directory)
        server.start()
        try:
            yield directory
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


def environment(directory: Path) -> dict[str, str]:
    """Return the environment of a program that is to see the nodes."""
    preload = " ".join(filter(None, [str(LIBRARY), os.environ.get("LD_PRELOAD")]))
    return {**os.environ, "LD_PRELOAD": preload, "MIDLAYER_NODES": str(directory)}


def run_under(directory: Path, program: Sequence[str]) -> int:
    """Run a program that sees the nodes, and return its exit status."""
    with _many_descriptors() as usual, _forwarding() as children:
        try:
            child = subprocess.Popen(program, env=environment(directory))
        except FileNotFoundError as error:
            return _complain(program[0], error, NOT_FOUND)
        except OSError as error:
            return _complain(program[0], error, NOT_EXECUTABLE)
        children.append(child)
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            resource.prlimit(child.pid, resource.RLIMIT_NOFILE, usual)
        status = child.wait()
    return KILLED - status if status < 0 else status


@contextlib.contextmanager
def _many_descriptors() -> Iterator[tuple[int, int]]:
    """Have as many descriptors as may be, and yield the usual limits.

    A program costs the server about six, and hundreds of programs may run at once.
    """
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (usual[1], usual[1]))
    try:
        yield usual
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)


def _complain(program: str, error: OSError, status: int) -> int:
    print(f"midlayer: {program}: {error.strerror}", file=sys.stderr)
    return status


@contextlib.contextmanager
def _forwarding() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Hand signals on to the programs in the list. What a terminal sends, it sends to them as well."""
    children: list[subprocess.Popen[bytes]] = []

    def forward(number: int, frame: FrameType | None) -> None:
        if number not in (signal.SIGINT, signal.SIGQUIT) or not os.isatty(0):
            for child in children:
                child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield children
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m midlayer.frontends.nodes.exec --config FILE -- PROGRAM …``."""
    parser = argparse.ArgumentParser(prog="midlayer exec", description=run_program.__doc__)
    add_arguments(parser)
    try:
        return run(parser.parse_args(arguments))
    except MidlayerError as error:
        print(f"midlayer: {error}", file=sys.stderr)
        return 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="bring up this subsystem for the program")
    parser.add_argument("--connect", type=Path, metavar="SOCKET", help="use a daemon that runs (not yet)")
    parser.add_argument("program", nargs=argparse.REMAINDER, metavar="PROGRAM", help="program and arguments")


def run(options: argparse.Namespace) -> int:
    """Carry out the verb; `options` are those of `add_arguments`."""
    program = options.program[1:] if options.program[:1] == ["--"] else options.program
    if options.connect is not None:
        raise UsageError("--connect is not there yet; use --config FILE")
    if options.config is None or not program:
        raise UsageError("write: midlayer exec --config FILE -- PROGRAM [ARGUMENT …]")
    return run_program(load(options.config), program)


if __name__ == "__main__":
    sys.exit(main())
