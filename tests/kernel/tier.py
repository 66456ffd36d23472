"""The guest's tests, seen from the host: started together in one boot, reported one by one."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import boot

DEFAULT_TIMEOUT_S = 3600.0
POLL_S = 0.05
ENDED_EARLIER = "the guest had ended before this test; the first test that it did not report says how"
PASSED_ON = ("CI", "MIDLAYER_SEED", "MIDLAYER_CYCLES", "MIDLAYER_TARGETS")
"""What the tests of the guest may be told by the environment."""
GUEST_TESTS = Path(__file__).parent / "guest"


def timeout_s() -> float:
    """Return how long the whole tier may take: ``MIDLAYER_KERNEL_TIMEOUT_S``, or an hour."""
    return float(os.environ.get("MIDLAYER_KERNEL_TIMEOUT_S", DEFAULT_TIMEOUT_S))


class NotReportedError(Exception):
    """The guest ended, or was killed, before it had reported a test; the message says how it ended."""


class Tier:
    """One guest, running the tests with the given node ids in the given order. Close it when done.

    The guest's pytest writes a line of JSON for each report into the exchange (``guest/conftest.py``),
    so a test's outcome is known here as soon as it is known there.

    Raises:
        prepare.Unavailable: there is no kernel or no emulator here.
    """

    def __init__(self, node_ids: Sequence[str], *, root: Path) -> None:
        # Neither the command line's options nor the conftest.py of the other tests apply in the guest.
        pytest = [sys.executable, "-m", "pytest", "-o", "addopts=", "-p", "no:cacheprovider", "-v"]
        places = [f"--rootdir={root}", f"--confcutdir={GUEST_TESTS}"]
        self._guest = boot.Guest(
            ["sh", "-c", f'exec {shlex.join(pytest + places)} "@$MIDLAYER_GUEST/tests"'],
            cwd=root,
            timeout_s=timeout_s(),
            environment={name: os.environ[name] for name in PASSED_ON if name in os.environ},
        )
        self._reports: dict[str, list[dict[str, Any]]] = {}
        self._read_bytes = 0
        self._ending: str | None = None
        (self._guest.exchange / "tests").write_text("".join(f"{node_id}\n" for node_id in node_ids))
        self._guest.__enter__()

    def close(self) -> None:
        """Kill the guest if it is still up."""
        self._guest.stop()

    def reports(self, node_id: str) -> list[dict[str, Any]]:
        """Wait for a test to be over and return its serialized reports, of setup, call and teardown.

        Raises:
            NotReportedError: there will be none.
        """
        while not self._is_over(node_id):
            up = self._is_up()
            self._read_reports()
            if self._is_over(node_id):
                break
            if not up:
                ending, self._ending = self._ending, ENDED_EARLIER
                raise NotReportedError(ending)
            time.sleep(POLL_S)
        return self._reports[node_id]

    def _is_over(self, node_id: str) -> bool:
        return any(report["when"] == "teardown" for report in self._reports.get(node_id, ()))

    def _is_up(self) -> bool:
        if self._ending is None:
            try:
                if self._guest.running():
                    return True
                self._ending = f"the guest ended before it had reported this test\n{self._guest.tail()}"
            except boot.GuestTimeoutError as error:
                self._ending = f"the guest's time was over: {error}"
        return False

    def _read_reports(self) -> None:
        try:
            with (self._guest.exchange / "reports").open("rb") as lines:
                lines.seek(self._read_bytes)
                text = lines.read()
        except FileNotFoundError:
            return
        whole = text[: text.rfind(b"\n") + 1]  # the last line may still be on its way
        self._read_bytes += len(whole)
        for line in whole.splitlines():
            report = json.loads(line)
            self._reports.setdefault(report["nodeid"], []).append(report)
