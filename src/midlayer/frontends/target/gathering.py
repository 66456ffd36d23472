"""Commands that came as tasks, and those of them that went well and wait to be responded to together."""

from __future__ import annotations

from midlayer.frontends.target.sending import BufferPool
from midlayer.iscsi.connection import Buffer
from midlayer.iscsi.target import TargetConnection
from midlayer.iscsi.task import Task
from midlayer.mid.command import Command


class TaskCommand(Command):
    """A command that came as a task.

    Attributes:
        task: That the initiator waits for.
        buffer: Memory of the session's pool that it was given for `data_in`.
    """

    __slots__ = ("buffer", "task")

    task: Task
    buffer: memoryview | None


class Gathered:
    """What has ended with GOOD and all of its data in the connection's thread, which alone uses this.

    Attributes:
        data_bytes: How much data of reads that is.
    """

    __slots__ = ("_ended", "_pool", "_used", "data_bytes")

    def __init__(self, pool: BufferPool) -> None:
        self._pool = pool
        self._ended: list[tuple[Task, Buffer]] = []
        self._used: list[memoryview] = []  # buffers of the pool that have the data of some
        self.data_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._ended)

    def take(self, command: TaskCommand) -> bool:
        """Keep a command that has ended; False if there is more to say of it than `respond_good` does."""
        task, data = command.task, command.data_in
        if command.status or command.host_byte or command.residual or task.overflow_bytes:
            return False
        if data is None:
            if task.read:
                return False
            self._ended.append((task, b""))
            return True
        length = len(data)
        if length != task.expected_bytes:
            return False
        self._ended.append((task, data))
        self.data_bytes += length
        buffer = command.buffer
        if data is buffer:
            self._used.append(buffer)
        elif buffer is not None:  # the driver has lent its own memory
            self._pool.give(buffer)
        return True

    def respond(self, iscsi: TargetConnection) -> None:
        """Respond to all of it; the session's lock is held."""
        iscsi.respond_good(self._ended)
        self._pool.lent += self._used
        self._ended.clear()
        self._used.clear()
        self.data_bytes = 0
