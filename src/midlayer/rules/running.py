"""Running the program of a PROGRAM or IMPORT: without a shell, in a bounded time, with a bounded answer."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from midlayer.mid.clock import Clock
from midlayer.rules.text import decode, encode

MOST_OUTPUT = 16384
"""Bytes of a program's answer that are taken, as by udev."""


class ProgramResult(NamedTuple):
    """What a program did.

    Attributes:
        status: Its exit status; None if it was not run, or did not end by itself.
        output: What it printed on its standard output, up to a NUL.
        why: Why there is no exit status.
    """

    status: int | None
    output: str
    why: str = ""


def run(words: Sequence[str], properties: Mapping[str, str], timeout_s: float, clock: Clock) -> ProgramResult:
    """Run a program and wait for its end.

    Args:
        words: Its path and its arguments; no shell sees them.
        properties: All of its environment.
        timeout_s: After which it, and what it started, is killed.
        clock: Tells the time.
    """
    variables = {
        encode(key): encode(value)
        for key, value in properties.items()
        if key and not set("=\0").intersection(key) and "\0" not in value
    }
    try:
        process = subprocess.Popen(
            [encode(word) for word in words],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that what it starts can be ended with it
            cwd="/",
        )
    except (OSError, ValueError) as error:
        return ProgramResult(None, "", str(error))
    deadline_s = clock.monotonic() + timeout_s
    with process:
        try:
            output = _read(process, deadline_s, clock)
            status = process.wait(max(0.0, deadline_s - clock.monotonic()))
        except subprocess.TimeoutExpired:
            return ProgramResult(None, "", f"not done after {timeout_s:g} s, killed")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if status < 0:
        return ProgramResult(None, "", f"ended by signal {-status}")
    return ProgramResult(status, decode(output.split(b"\0", 1)[0]))


def _read(process: subprocess.Popen[bytes], deadline_s: float, clock: Clock) -> bytes:
    """Read until the program closes its output, or there is more than anybody wants."""
    assert process.stdout is not None
    output = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(output) < MOST_OUTPUT:
            left_s = deadline_s - clock.monotonic()
            if left_s <= 0:
                raise subprocess.TimeoutExpired(process.args, left_s)
            if not selector.select(left_s):
                continue
            piece = os.read(process.stdout.fileno(), MOST_OUTPUT)
            if not piece:
                return bytes(output)
            output += piece
    process.stdout.close()  # it gets SIGPIPE for what nobody reads
    return bytes(output[:MOST_OUTPUT])
