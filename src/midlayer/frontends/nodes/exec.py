"""``midlayer exec``: run a program on a subsystem, as if its devices were the machine's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from midlayer.errors import DaemonError, MidlayerError, UsageError
from midlayer.frontends.cli.options.running import add_exec_arguments
from midlayer.frontends.config import OWN_HOSTS_FROM, Config, load
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.nodes.program import check_library, run_under
from midlayer.frontends.nodes.serving import find_served, serving
from midlayer.frontends.places import default_socket
from midlayer.lower.virtual.spec import HostSpec

_USAGE = "write: midlayer exec [--config FILE | --plug DEVICE | --connect SOCKET] -- PROGRAM [ARGUMENT …]"


def run_program(config: Config, program: Sequence[str], plugged: Sequence[str] = ()) -> int:
    """Bring up a subsystem, run a program on it, and take the subsystem down again.

    Args:
        config: The subsystem. Its event log is kept in memory.
        program: Its name and arguments.
        plugged: Device URLs of units that are plugged in before it starts.

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
        for unit in plugged:
            daemon.plug(unit, None)
        with serving(daemon.subsystem) as directory:
            return run_under(directory, program)
    finally:
        daemon.stop()


def run_connected(path: Path, program: Sequence[str]) -> int:
    """Run a program on the subsystem of a daemon; returns and raises as `run_program`.

    Args:
        path: The socket of the daemon's API.
        program: Its name and arguments.

    Raises:
        DaemonError: If no daemon serves nodes there.
    """
    check_library()
    return run_under(find_served(path), program)


def without_absent_kernel(config: Config) -> Config:
    """Leave out the kernel's hosts where the machine has none, so that numbers begin with 0."""
    hosts = Path("/sys/class/scsi_host")
    if not config.kernel or (hosts.is_dir() and any(hosts.iterdir())):
        return config
    first = 0 if config.first_host_no == OWN_HOSTS_FROM else config.first_host_no
    return replace(config, kernel=False, first_host_no=first)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m midlayer.frontends.nodes.exec --config FILE -- PROGRAM …``."""
    parser = argparse.ArgumentParser(prog="midlayer exec", description=run_program.__doc__)
    add_exec_arguments(parser)
    try:
        return run(parser.parse_args(arguments))
    except MidlayerError as error:
        print(f"midlayer: {error}", file=sys.stderr)
        return 1


def run(options: argparse.Namespace) -> int:
    """Carry out the verb; `options` are those of `add_exec_arguments`."""
    program = options.program[1:] if options.program[:1] == ["--"] else options.program
    if not program:
        raise UsageError(_USAGE)
    if options.plug and options.connect is not None:
        raise UsageError("exec: --plug is for a subsystem of its own; for a daemon's: midlayer plug DEVICE")
    if options.config is not None or options.plug:
        config = Config(virtual_hosts=(HostSpec(),)) if options.config is None else load(options.config)
        return run_program(config, program, options.plug)
    if options.connect is not None:
        return run_connected(options.connect, program)
    try:
        return run_connected(default_socket(), program)
    except DaemonError as error:
        raise UsageError(f"{error}; or {_USAGE}") from error


if __name__ == "__main__":
    sys.exit(main())
