"""``midlayer up``: bring the subsystem up, say what is there, and print what happens."""

from __future__ import annotations

import argparse
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from midlayer.errors import MidlayerError
from midlayer.frontends.cli.lists import print_attached
from midlayer.frontends.cli.output import fitted
from midlayer.frontends.cli.wording import event_line
from midlayer.frontends.config import OWN_HOSTS_FROM, Config, check_open, load, parse_listen
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.daemon.serve import serve, tcp_socket, unix_socket
from midlayer.frontends.nodes.up import serve_nodes
from midlayer.frontends.places import default_socket, default_state
from midlayer.frontends.polling import is_now
from midlayer.secret_files import read_secret
from midlayer.standards.spc import Inquiry
from midlayer.upper.scsimon import Event, Kind
from midlayer.upper.sg import execute
from midlayer.version import VERSION

STEP_S = 10.0
"""How long a step of the start, such as the scan of a host, may take once the daemon was told to end."""

UNREAD_S = 1.0
"""How long, at the end, somebody who reads nothing is waited for."""

PRINTED_S = 30.0
"""How long, at the end, the thread that prints is waited for while there is room for what it prints."""

_DEMO_UNIT = "virtual:disk?size=256M&vendor=ACME&product=Hotplug disk"


def up(options: argparse.Namespace) -> int:
    """Run the daemon in the foreground until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.WARNING, format="midlayer: %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until there is something to take down
    config = (
        load(options.config)
        if options.config is not None
        else Config(kernel=True, first_host_no=OWN_HOSTS_FROM)
    )
    listen = parse_listen(options.listen) if options.listen is not None else config.listen
    check_open(listen, config.token_file)
    token = read_secret(config.token_file) if config.token_file is not None else None
    state = options.state or config.state or default_state()
    path = options.socket or config.socket or default_socket()
    told = _ToldToEnd()
    with ExitStack() as stack:
        # The event log is the first to be taken: its lock tells one daemon from another.
        daemon = Daemon(config, state)
        daemon.policy.runner.variables = {"MIDLAYER_SOCKET": str(path.absolute())}
        printer = _Printer(daemon, quiet=options.quiet)
        stack.callback(_stop, daemon, printer)
        sockets = [stack.enter_context(closing(unix_socket(path)))]
        stack.callback(path.unlink, missing_ok=True)
        if listen is not None:
            sockets.append(stack.enter_context(closing(tcp_socket(*listen))))
        if not told.while_it_starts(daemon):
            return 0
        serve_nodes(stack, daemon, path, mount=options.nodes, cuse=options.nodes_cuse)
        greet = partial(printer.greet, path, state, listen, config_given=options.config is not None)
        begin = partial(printer.start, greet, show=options.show, socket=path)
        serve(daemon, sockets, started=begin, token=token, told_to_end=told.is_told)
    return 0


class _ToldToEnd:
    """SIGTERM and SIGINT until the API serves: noted, and never raised.

    An exception out of a signal could come anywhere: in a driver that has half a command, or between taking
    something and noting what has to be given back.
    """

    def __init__(self) -> None:
        self._news: SimpleQueue[Future[None] | None] = SimpleQueue()  # a signal handler may put into it
        signal.signal(signal.SIGTERM, self._take)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored until then
            signal.signal(signal.SIGINT, self._take)

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self._news.put(None)

    def is_told(self) -> bool:
        """Return whether a signal has come."""
        return not self._news.empty()

    def while_it_starts(self, daemon: Daemon) -> bool:
        """Start a daemon in another thread; False if it was told to end, and is not to be served.

        The step that is being taken then is waited for, unless it is told a second time.
        """
        if self.is_told():
            return False
        started: Future[None] = Future()
        over = threading.Event()
        threading.Thread(
            target=self._start, args=(daemon, started, over), name="midlayer-start", daemon=True
        ).start()
        if self._news.get() is not None:
            started.result()
            return True
        over.set()
        with suppress(Empty):
            self._news.get(timeout=STEP_S)
        return False

    def _start(self, daemon: Daemon, started: Future[None], over: threading.Event) -> None:
        try:
            for _ in daemon.steps():
                if over.is_set():
                    break
        except BaseException as error:  # raised again in the thread that waits
            started.set_exception(error)
        else:
            started.set_result(None)
        self._news.put(started)


def _stop(daemon: Daemon, printer: _Printer) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the end has begun
    printer.begin_end()
    daemon.stop()
    with printer.while_it_is_read():
        printer.finish()


class _Printer:
    """Prints what is there at the start, then events as they come.

    It has a thread of its own: whoever records an event must not wait for somebody who has stopped reading,
    such as a pager, or a terminal after Ctrl-S.
    """

    def __init__(self, daemon: Daemon, *, quiet: bool) -> None:
        self._daemon = daemon
        self._quiet = quiet
        self._seen = 0
        self._lock = threading.Lock()
        self._ending: list[Event] | None = None
        self._greeted = False
        self._thread: threading.Thread | None = None
        self._wake, self._over = threading.Event(), False

    def greet(self, path: Path, state: Path, listen: tuple[str, int] | None, *, config_given: bool) -> None:
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
        for target in self._daemon.targets.specs():
            portals = ", ".join(str(portal) for portal in self._daemon.targets.portals(target.iqn))
            print(f"iSCSI target {target.iqn} on {portals}, {len(target.luns)} LUNs")
        self._greeted = True
        self._seen = snapshot.event_count

    def start(self, greet: Callable[[], None], *, show: bool, socket: Path) -> None:
        """Print from now on; begin with a unit that comes, answers and goes, if asked."""
        if self._quiet:
            return
        self._daemon.scsimon.add_listener(self._news)
        self._thread = threading.Thread(
            target=self._run, args=(greet, show, socket), name="midlayer-printer", daemon=True
        )
        self._thread.start()

    def _run(self, greet: Callable[[], None], show: bool, socket: Path) -> None:
        with self.while_it_is_read():
            greet()
            if show:
                self._show()
            self._hints(socket)
        while True:
            over = self._over
            self._print_news()
            if over:
                return
            self._wake.wait()
            self._wake.clear()

    def begin_end(self) -> None:
        """Gather from now on: that a virtual host takes its devices along is one line, not a hundred."""
        if self._thread is not None:
            self._over = True
            self._wake.set()
            if not self._is_read(self._thread):  # so that nothing more can be said
                self._quiet = True
                sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (open until the process has ended)
        with self._lock:
            self._ending = []

    @staticmethod
    def _is_read(thread: threading.Thread) -> bool:
        """Let the thread print all, however slow it is; False if nobody reads what it prints."""
        end_s = time.monotonic() + PRINTED_S
        while True:
            thread.join(UNREAD_S)
            if not thread.is_alive():
                return True
            if time.monotonic() > end_s or not is_now(sys.stdout.fileno(), select.POLLOUT):
                return False

    def finish(self) -> None:
        """Say what went with the daemon, and that it ended."""
        if self._quiet or not self._greeted:
            return
        gone = self._ending or []
        if gone:
            hosts = [event.data["host_data"]["name"] for event in gone if event.kind is Kind.HOST_REMOVED]
            devices = sum(event.kind is Kind.DETACH for event in gone)
            counts = f"{gone[0].event_count} to {gone[-1].event_count}"
            print(
                f"\nTaken down with the daemon: {', '.join(hosts)} and {devices} devices (events {counts})."
            )
        print("midlayer ended cleanly; the event log is kept", flush=True)

    def _news(self) -> None:
        """Called by whoever has recorded an event."""
        with self._lock:
            if self._ending is not None:
                page = self._daemon.scsimon.events(self._seen)
                self._seen = max(self._seen, page.event_count)
                self._ending += page.events
        self._wake.set()

    def _print_news(self) -> None:
        page = self._daemon.scsimon.events(self._seen)
        with self.while_it_is_read():
            for event in page.events:
                print(fitted(event_line(event.to_json())), flush=True)
        self._seen = max(self._seen, page.event_count)

    @contextmanager
    def while_it_is_read(self) -> Iterator[None]:
        """Go on as a daemon whose output nobody wants once its reader, or the room for it, has gone."""
        try:
            yield
            sys.stdout.flush()
        except BrokenPipeError:
            self._quiet, self._ending = True, []
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError:
            pass  # a file on a full disk: the event log has what is missing there

    def _show(self) -> None:
        print("\nA disk is plugged in, asked who it is, and pulled out again:")
        try:
            device = self._daemon.plug(_DEMO_UNIT, None)
            self._print_news()
            result = execute(device, Inquiry(allocation_length=36).encode(), data_in=36)
            print(
                f"        {result}: {_identity(result.data)} in {result.duration_s * 1e6:.0f} µs", flush=True
            )
            self._daemon.unplug(str(device.address))
            self._print_news()
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
