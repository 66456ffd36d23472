"""Sessions at a depth against one command at a time, on a device that needs 100 µs for each command.

The device completes commands from one thread, as a host adapter does; a virtual disk itself answers
before `queuecommand` returns, and has no latency to hide.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from midlayer.mid.command import Command
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.spc import StandardInquiry, encode_lun_list
from midlayer.upper.sg import Session, execute

LATENCY_S = 100e-6
DEPTH = 32
COMMANDS = 4000
RATE_GOAL = 3.0
PROCESSOR_GOAL_S = 15e-6
_INQUIRY = StandardInquiry(version=6, response_data_format=2, additional_length=31).encode_sized()


class LateDriver(HostTemplate):
    """One disk whose commands end `LATENCY_S` after they came, any number of them side by side."""

    name = "late host"
    proc_name = "late"
    can_queue = cmd_per_lun = 256
    max_cmd_len = 16
    max_id = max_lun = 1

    def __init__(self) -> None:
        self.late_s = 0.0
        self._waiting: deque[tuple[float, Command, Callable[[Command], None]]] = deque()
        self._news = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="late", daemon=True)
        self._thread.start()

    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        opcode, room = command.cdb[0], command.data_in
        if opcode == 0x12 and room is not None and not command.cdb[1]:
            room[: len(_INQUIRY)] = _INQUIRY[: len(room)]
        elif opcode == 0xA0 and room is not None:
            luns = encode_lun_list([0])
            room[: len(luns)] = luns
        if not self.late_s:
            done(command)
            return 0
        with self._news:
            if not self._waiting:
                self._news.notify()
            self._waiting.append((time.perf_counter() + self.late_s, command, done))
        return 0

    def stop(self) -> None:
        """End the thread."""
        with self._news:
            self._stopped = True
            self._news.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._news:
                while not self._waiting:
                    if self._stopped:
                        return
                    self._news.wait()
            wait_s = self._waiting[0][0] - time.perf_counter()
            if wait_s > 0:
                time.sleep(wait_s)
            now_s = time.perf_counter()
            while self._waiting and self._waiting[0][0] <= now_s:
                _, command, done = self._waiting.popleft()
                done(command)


def run() -> Iterator[str]:
    """Yield the lines of the report."""
    driver = LateDriver()
    subsystem = Subsystem()
    host = subsystem.host_alloc(driver)
    subsystem.add_host(host)
    subsystem.scan_host(host)
    (device,) = host.devices()
    driver.late_s = LATENCY_S
    single_s = min(_one_at_a_time(device) for _ in range(3))
    best_s, best_cpu_s = float("inf"), float("inf")
    for _ in range(5):
        wall_s, cpu_s = _at_depth(device)
        best_s, best_cpu_s = min(best_s, wall_s), min(best_cpu_s, cpu_s)
    driver.stop()
    ratio = single_s / best_s
    yield (
        f"{_mark(ratio >= RATE_GOAL)} depth {DEPTH} / one at a time, 100 µs device: {1 / best_s:>8.0f} / "
        f"{1 / single_s:>6.0f} a second  ratio {ratio:5.2f}  goal at least {RATE_GOAL:g}"
    )
    yield (
        f"{_mark(best_cpu_s <= PROCESSOR_GOAL_S)} processor time of a command at depth {DEPTH}: "
        f"{best_cpu_s * 1e6:.2f} µs  goal at most {PROCESSOR_GOAL_S * 1e6:g} µs"
    )


def _mark(met: bool) -> str:
    return "ok  " if met else "MISS"


def _one_at_a_time(device: LogicalUnit) -> float:
    count = COMMANDS // 8
    begin = time.perf_counter()
    for _ in range(count):
        execute(device, bytes(6))
    return (time.perf_counter() - begin) / count


def _at_depth(device: LogicalUnit) -> tuple[float, float]:
    """Return seconds of wall and of processor time for one command."""
    begin, cpu = time.perf_counter(), time.process_time()
    with Session(device, depth=DEPTH) as session:
        session.submit([bytes(6)] * DEPTH)
        left = COMMANDS - DEPTH
        while session.outstanding:
            ended = len(session.receive_many())
            more = min(ended, left)
            if more:
                session.submit([bytes(6)] * more)
                left -= more
    return (time.perf_counter() - begin) / COMMANDS, (time.process_time() - cpu) / COMMANDS
