"""The server of nodes: accepts programs, opens for them, and sees when the last descriptor is closed."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from midlayer.frontends.nodes import attributes
from midlayer.frontends.nodes.channel import Channel
from midlayer.frontends.nodes.open_files import NodeFile, OpenFiles, TextFile
from midlayer.frontends.nodes.shared import ReserveMemory, text_descriptor
from midlayer.frontends.nodes.tree import SG_MAJOR, Tree
from midlayer.frontends.polling import is_now
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.scsimon.node import ScsimonNode, scsimon_node
from midlayer.upper.sg.device import SgDevice, SgNodes
from midlayer.upper.sg.proc import ProcTree

_SG = re.compile(r"/dev/sg(\d{1,7})", re.ASCII)
_RETRY_MS = 20
_JOIN_S = 5.0
_HANDED_OVER_S = 1.0  # a program that does not read its answers holds up nobody for longer
_MOST_WRITTEN = 65536
_MOST_NEWS = 512


class NodeServer:
    """Serves the nodes of a subsystem on a Unix socket, in threads of its own.

    Args:
        subsystem: Whose devices.
        nodes: Its sg devices.
        directory: A private directory; the socket and the snapshot of /sys, /dev and /proc/scsi go there.
        channel: Made for each thread of a program that connects.

    Attributes:
        directory: What a program finds in ``MIDLAYER_NODES``.
        files: What programs have open.
        proc: The files below ``/proc/scsi``.
        scsimon: ``/dev/scsimon``; None for a subsystem without an event log.
        uid: Whoever has it has every right.
    """

    def __init__(
        self, subsystem: Subsystem, nodes: SgNodes, directory: Path, *, channel: type[Channel] = Channel
    ) -> None:
        self.directory = directory
        self._make_channel = channel
        self.files = OpenFiles()
        self.uid = os.geteuid()
        self._nodes = nodes
        self._subsystem = subsystem
        self.scsimon = scsimon_node(subsystem)
        self.proc = ProcTree(subsystem, nodes)
        self._tree = Tree(directory / "tree", subsystem, self.proc)
        self._channels: dict[int, Channel] = {}
        self._dying: dict[int, Channel] = {}
        self._alive: set[Channel] = set()  # until their threads have nothing left to give back
        self._lock = threading.Lock()
        self._poll = select.epoll()
        self._tokens: dict[int, int] = {}  # descriptor of a token → number of its file
        self._stopping, self._wake = socket.socketpair()
        self._nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._unsettled: list[
            threading.Event
        ] = []  # each is set when all that happened before has been seen to
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="midlayer-nodes", daemon=True)

    def start(self) -> None:
        """Begin to serve; the snapshot is complete when this returns."""
        self._tree.fill()
        if self.scsimon is not None:
            self._tree.add_node(self.scsimon.name, self.scsimon.number)
        try:
            self._subsystem.register_upper(self._tree)
        except BaseException:  # Ctrl-C; the subsystem has it already
            self._tree.stop()
            raise
        path = self.directory / "socket"
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(128)
        self._poll.register(self._listener, select.EPOLLIN)
        self._poll.register(self._stopping, select.EPOLLIN)
        self._poll.register(self._nudge, select.EPOLLIN)
        self._thread.start()

    def stop(self) -> None:
        """Close everything that programs still have open, and end every thread."""
        self._wake.send(b"\0")
        self._thread.join(_JOIN_S)  # it is a daemon thread: the end of the program must not wait for it
        self._listener.close()
        with self._lock:
            channels = list(self._alive)
        for channel in channels:
            _hang_up(channel.connection)
        for channel in channels:
            _end(channel)
        for number in self.files.numbers():
            self.files.remove(number)
        self._tree.stop()
        for end in (self._stopping, self._wake, self._poll):
            end.close()
        os.close(self._nudge)

    # For channels

    def open(self, path: str, flags: int, channel: Channel) -> tuple[int, int]:
        """Open a path for a program.

        Returns:
            The number of the file and the descriptor of its token; or 0 and the descriptor of its text.
            The channel sends the descriptor away.

        Raises:
            OSError: As open(2).
        """
        self._settle()
        if path.startswith("/proc/"):
            return self._open_proc(path.removeprefix("/proc/"), flags, channel)
        if path.startswith("/sys/"):
            return self._opened(TextFile(self.attribute(path), b""), channel)
        return self._open_node(path, flags, channel)

    def find(self, path: str) -> tuple[SgDevice | ScsimonNode, bool]:
        """Return the device of a node, and whether the node is the bsg one.

        Raises:
            OSError: ENOENT.
        """
        if self.scsimon is not None and path == f"/dev/{self.scsimon.name}":
            return self.scsimon, False
        match = _SG.fullmatch(path)
        for node in self._nodes.devices():
            if match is not None:
                if node.minor == int(match[1]):
                    return node, False
            elif path == f"/dev/bsg/{node.device.address}":
                return node, True
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def attribute(self, path: str) -> Callable[[bytes], int]:
        """Return what obeys a write to an attribute; raises as `attributes.writer`."""
        return attributes.writer(self._subsystem, self._tree.real(path))

    def channel_ended(self, channel: Channel) -> None:
        """A channel's thread ends; its connection is still open."""
        with self._lock:
            self._channels.pop(channel.connection.fileno(), None)
            self._dying.pop(channel.connection.fileno(), None)
        with contextlib.suppress(OSError, ValueError):  # the server stops
            self._poll.unregister(channel.connection)

    def channel_closed(self, channel: Channel) -> None:
        """A channel has given everything back."""
        with self._lock:
            self._alive.discard(channel)

    def _open_node(self, path: str, flags: int, channel: Channel) -> tuple[int, int]:
        device, bsg = self.find(path)
        reserve = ReserveMemory()
        channel.interruptible = device.interrupt
        try:
            file = device.open(flags, caller=channel.caller, bsg=bsg, allocate=reserve.allocate)
        except BaseException:
            reserve.close()
            raise
        if isinstance(device, ScsimonNode):
            number = device.number
        else:
            number = self._tree.bsg_number(device.device) if bsg else (SG_MAJOR, device.minor)
        return self._opened(NodeFile(file, reserve, number), channel)

    def _open_proc(self, path: str, flags: int, channel: Channel) -> tuple[int, int]:
        file = self.proc.open(path, channel.caller, flags)
        access = flags & os.O_ACCMODE
        if access == os.O_RDONLY:
            channel.attached_is_ours = True
            return 0, text_descriptor(file.read())
        text = file.read() if access == os.O_RDWR else b""
        return self._opened(TextFile(file.write, text, access), channel)

    def _opened(self, file: NodeFile | TextFile, channel: Channel) -> tuple[int, int]:
        number = self.files.add(file)
        descriptor = file.token.fileno()
        with self._lock:
            self._tokens[descriptor] = number
        # Told of changes alone: that we hang up is none, that the program closes is one.
        self._poll.register(descriptor, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
        channel.attached_is_ours = True
        return number, file.program_end.detach()

    def _settle(self) -> None:
        """See to every close that has happened, as the kernel does before close(2) returns.

        What programs have closed is news for the server's own thread; who opens next must not be told that
        the device is taken, nor see what is closed in a proc file. That no token is left says nothing: the
        thread may be closing the file of the last one.
        """
        if not self._thread.is_alive():
            return
        self._let_go_of_copies()
        settled = threading.Event()
        with self._lock:
            self._unsettled.append(settled)
        os.eventfd_write(self._nudge, 1)
        settled.wait(_JOIN_S)

    def _let_go_of_copies(self) -> None:
        """Wait for channels that have sent a descriptor, and still have their own copy of it open."""
        with self._lock:
            channels = list(self._alive)
        for channel in channels:
            if channel.handing_over.acquire(timeout=_HANDED_OVER_S):
                channel.handing_over.release()

    # The server's own thread

    def _run(self) -> None:
        while True:
            with self._lock:
                unsettled, self._unsettled = self._unsettled, []
            news = self._poll.poll(0 if unsettled else _RETRY_MS / 1000 if self._dying else None, _MOST_NEWS)
            if not self._take_in(news):
                break
            if len(news) == _MOST_NEWS:  # there may be more that happened before
                with self._lock:
                    self._unsettled += unsettled
            else:
                for settled in unsettled:
                    settled.set()
            self._interrupt_dying()
        with self._lock:
            unsettled += self._unsettled
        for settled in unsettled:
            settled.set()

    def _take_in(self, news: list[tuple[int, int]]) -> bool:
        """See to what happened; False if the server stops."""
        for descriptor, events in news:
            if descriptor == self._stopping.fileno():
                return False
            if descriptor == self._nudge:
                os.eventfd_read(self._nudge)
            elif descriptor == self._listener.fileno():
                self._accept()
            elif descriptor in self._tokens:
                self._token_event(descriptor)
            elif events & (select.EPOLLRDHUP | select.EPOLLHUP):
                self._channel_hung_up(descriptor)
        return True

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # no descriptor is free; the program waits until one is
            time.sleep(_RETRY_MS / 1000)
            return
        try:
            channel = self._make_channel(self, connection)
        except OSError:
            connection.close()
            return
        with self._lock:
            self._channels[connection.fileno()] = channel
            self._alive.add(channel)
        self._poll.register(connection, select.EPOLLRDHUP | select.EPOLLONESHOT)
        channel.thread.start()

    def _token_event(self, descriptor: int) -> None:
        """A program wrote without the library's knowledge, or closed its last descriptor."""
        number = self._tokens[descriptor]
        try:
            file = self.files.get(number)
            while data := file.token.recv(_MOST_WRITTEN, socket.MSG_DONTWAIT):
                file.take_unseen(data)
            if file.hung_up:
                return  # what comes next is the last close
        except BlockingIOError:
            return
        except OSError:
            pass  # closed, with something unread
        with self._lock:
            del self._tokens[descriptor]
        self._poll.unregister(descriptor)
        self.files.remove(number)

    def _channel_hung_up(self, descriptor: int) -> None:
        """A program died, or a signal came while it waits for an answer: what blocks for it has to end.

        The news may be of a connection that has been closed since, whose number is another program's now.
        """
        with self._lock:
            channel = self._channels.get(descriptor)
            if channel is not None and is_now(descriptor, select.POLLRDHUP):
                self._dying[descriptor] = channel

    def _interrupt_dying(self) -> None:
        with self._lock:
            dying = list(self._dying.values())
        for channel in dying:
            _interrupt(channel)


def _interrupt(channel: Channel) -> None:
    thread, interrupt = channel.thread.ident, channel.interruptible
    if thread is not None and interrupt is not None:
        interrupt(thread)


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it ended meanwhile
        connection.shutdown(socket.SHUT_RDWR)


def _end(channel: Channel) -> None:
    for _ in range(int(_JOIN_S * 1000 / _RETRY_MS)):
        _interrupt(channel)
        channel.thread.join(_RETRY_MS / 1000)
        if not channel.thread.is_alive():
            return
