"""``guard``: run a command on a device, and be sure that it was the same device all the time.

The attach event count is the identity of a stay of a device; the device's own identity is asked as well,
because a unit can be swapped behind its address without a word. Both are read before and after the command.
If they differ, or nobody can say, the roll-back runs.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from midlayer.errors import MidlayerError, UsageError
from midlayer.frontends.cli.client import Client
from midlayer.frontends.places import default_socket

ROLLED_BACK = 122
"""Another device is there now, or nobody knows; the roll-back, if there is one, ended with status 0."""
ROLL_BACK_FAILED = 123
"""As above, and the roll-back failed: what the command did is still done."""
NOT_GUARDED = 125
"""The command was not run: the device is not there, does not say who it is, or no daemon answers."""
NOT_EXECUTABLE = 126
NOT_FOUND = 127

_HANDED_ON = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGALRM,
)  # fmt: skip
_WAITED_FOR = (*_HANDED_ON, signal.SIGCHLD)


class Stay(NamedTuple):
    """Which stay of which device: where, since which event, and who it says it is."""

    address: str
    attach_count: int
    identity: dict[str, Any]

    def difference(self, now: Stay) -> str:
        """Return what differs in words; empty if nothing does."""
        if now.attach_count != self.attach_count:
            return f"attached by event {now.attach_count}, before by event {self.attach_count}"
        pairs = ((key, old, now.identity.get(key)) for key, old in self.identity.items())
        return ", ".join(
            f"{key} {old} is now {new}"
            for key, old, new in pairs
            if old is not None and new is not None and old != new
        )


def guard(options: argparse.Namespace) -> int:
    """Run the command, compare, and roll back if need be."""
    command = _command(options)
    if not command:
        raise UsageError("guard: write the command after --: midlayer guard sg3 -- mount /dev/sdb1 /mnt")
    try:
        roll_back = shlex.split(options.rollback or "")
    except ValueError as error:
        raise UsageError(f"guard: --rollback: {error}") from None
    try:
        before = _stay(options, options.device)
    except MidlayerError as error:
        print(f"midlayer: guard: {options.device}: {error}; the command was not run", file=sys.stderr)
        return NOT_GUARDED
    status, started = _run_watched(command, _environment(before))
    if not started:
        return status
    try:
        reason = before.difference(_stay(options, before.address))
    except MidlayerError as error:
        reason = f"nobody can say that it is the same device: {error}"
    if not reason:
        return status
    print(f"midlayer: guard: {before.address}: {reason}", file=sys.stderr)
    return _roll_back(roll_back, _environment(before))


def _command(options: argparse.Namespace) -> list[str]:
    """Return the words after ``--``; options between the device and them are taken in."""
    words: list[str] = options.command
    at = words.index("--") if "--" in words else 0
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--rollback")
    parser.add_argument("--socket", type=Path)
    try:
        _, unknown = parser.parse_known_args(words[:at], options)
    except argparse.ArgumentError as error:
        raise UsageError(f"guard: {error}") from None
    if unknown:
        raise UsageError(f"guard: {unknown[0]!r} is not an option; write the command after --")
    return words[at + 1 :] if "--" in words else words


def _stay(options: argparse.Namespace, device: str) -> Stay:
    with Client(options.socket or default_socket()) as client:
        (item,) = client.post("verify", device=device)["items"]
    if item["identity"] is None:
        raise MidlayerError(item["reason"])
    return Stay(item["address"], item["attach_count"], item["identity"])


def _environment(stay: Stay) -> dict[str, str]:
    return {
        **os.environ,
        "MIDLAYER_ADDRESS": stay.address,
        "SCSI_EVENT_ATTACHED": str(stay.attach_count),
    }


def _roll_back(command: Sequence[str], environment: dict[str, str]) -> int:
    if not command:
        print("midlayer: guard: there is no --rollback; nothing was undone", file=sys.stderr)
        return ROLLED_BACK
    status, _ = _run_watched(command, environment, hand_on=False)
    if status:
        print(f"midlayer: guard: the roll-back ended with status {status}", file=sys.stderr)
    return ROLL_BACK_FAILED if status else ROLLED_BACK


def _run_watched(
    command: Sequence[str], environment: dict[str, str], *, hand_on: bool = True
) -> tuple[int, bool]:
    """Run a command and hand signals on to it; return its status and whether it was started at all.

    A signal that the terminal sent went to the command as well, and is not sent twice.
    """
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
    try:
        try:
            child = subprocess.Popen(
                command,
                env=environment,
                preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, usual),  # noqa: PLW1509
            )
        except FileNotFoundError as error:
            return _complain(command[0], error, NOT_FOUND)
        except OSError as error:
            return _complain(command[0], error, NOT_EXECUTABLE)
        while (status := child.poll()) is None:
            came = signal.sigwaitinfo(_WAITED_FOR)
            if (
                hand_on and came.si_signo != signal.SIGCHLD and came.si_code <= 0
            ):  # 0: kill(2), not a terminal
                child.send_signal(came.si_signo)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)
    return (128 - status if status < 0 else status), True


def _complain(program: str, error: OSError, status: int) -> tuple[int, bool]:
    print(f"midlayer: guard: {program}: {error.strerror}", file=sys.stderr)
    return status, False
