"""``midlayer up``: bring the subsystem up, say what is there, and print what happens."""

from __future__ import annotations

import argparse
import logging
import sys
import threading
from pathlib import Path
from typing import Any

from midlayer.errors import ConfigError, MidlayerError
from midlayer.frontends.cli.lists import event_line, print_attached
from midlayer.frontends.config import Config, default_socket, default_state, load, parse
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.daemon.serve import serve, tcp_socket, unix_socket
from midlayer.standards.spc import Inquiry
from midlayer.upper.sg import execute
from midlayer.version import VERSION

_DEMO_UNIT = "virtual:disk?size=256M&vendor=ACME&product=Hotplug disk"


def up(options: argparse.Namespace) -> int:
    """Run the daemon in the foreground until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.WARNING, format="midlayer: %(message)s")
    config = load(options.config) if options.config is not None else Config(kernel=True)
    listen = _listen(options.listen) if options.listen is not None else config.listen
    state = options.state or config.state or default_state()
    path = options.socket or config.socket or default_socket()
    sockets = []
    daemon = None
    try:
        # The event log is the first to be taken: its lock tells one daemon from another.
        daemon = Daemon(config, state)
        sockets.append(unix_socket(path))
        if listen is not None:
            sockets.append(tcp_socket(*listen))
        printer = _Printer(daemon, quiet=options.quiet)
        daemon.start()
        printer.greet(path, state, listen, config_given=options.config is not None)
        serve(daemon, sockets, started=lambda: printer.run(show=options.show, socket=path))
    finally:
        if daemon is not None:
            daemon.stop()
        for listener in sockets:
            listener.close()
        if sockets:
            path.unlink(missing_ok=True)
    if not options.quiet:
        print("midlayer ended cleanly; the event log is kept")
    return 0


class _Printer:
    """Prints what is there at the start, then events as they come."""

    def __init__(self, daemon: Daemon, *, quiet: bool) -> None:
        self._daemon = daemon
        self._quiet = quiet
        self._seen = 0
        self._lock = threading.Lock()

    def greet(self, path: Path, state: Path, listen: tuple[str, int] | None, *, config_given: bool) -> None:
        if self._quiet:
            return
        where = f" and http://{listen[0]}:{listen[1]}" if listen else ""
        print(f"midlayer {VERSION}: API on {path}{where}, event log in {state}")
        scsimon = self._daemon.scsimon
        if not config_given and not self._daemon.subsystem.hosts():
            print("This kernel has no SCSI host now; --config adds virtual ones (see examples/default.toml).")
        snapshot = scsimon.snapshot()
        print()
        print_attached(
            {"event_count": snapshot.event_count, "items": [record.to_json() for record in snapshot.attached]}
        )
        sys.stdout.flush()
        self._seen = snapshot.event_count

    def run(self, *, show: bool, socket: Path) -> None:
        """Print events from now on; begin with a unit that comes, answers and goes, if asked."""
        if self._quiet:
            return
        self._daemon.scsimon.add_listener(self._news)
        if show:
            self._show()
        self._hints(socket)
        self._news()

    def _news(self) -> None:
        with self._lock:
            page = self._daemon.scsimon.events(self._seen)
            for event in page.events:
                self._seen = event.event_count
                print(event_line(event.to_json()), flush=True)

    def _show(self) -> None:
        print("\nA disk is plugged in, asked who it is, and pulled out again:")
        try:
            device = self._daemon.plug(_DEMO_UNIT, None)
            result = execute(device, Inquiry(allocation_length=36).encode(), data_in=36)
            print(f"        {result}: {_identity(result.data)} in {result.duration_s * 1e6:.0f} µs", flush=True)
            self._daemon.unplug(str(device.address))
        except MidlayerError as error:
            print(f"        {error}")

    def _hints(self, socket: Path) -> None:
        command = sys.argv[0] if sys.argv[0].startswith(".venv") else "midlayer"
        if command == "midlayer" and Path(".venv/bin/midlayer").exists():
            command = ".venv/bin/midlayer"
        where = "" if socket == default_socket() else f" --socket {socket}"
        first = next(iter(self._daemon.subsystem.devices()), None)
        print("\nTry, in a second terminal:")
        if first is not None:
            print(f"  {command} inq{where} {first.address}")
        print(f"  {command} plug{where} 'virtual:disk?size=1G&serial=HELLO'")
        print(f"  {command} detached{where}")
        print("\nEvents follow as they come; Ctrl-C ends.", flush=True)


def _identity(data: Any) -> str:
    return " ".join(bytes(data[8:36]).decode("ascii", errors="replace").split())


def _listen(text: str) -> tuple[str, int]:
    try:
        listen = parse(f'[daemon]\nlisten = "{text}"\n', file="--listen").listen
    except ConfigError as error:
        raise ConfigError(str(error).split(": ")[-1], key="--listen") from None
    assert listen is not None
    return listen
