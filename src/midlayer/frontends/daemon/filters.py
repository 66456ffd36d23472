"""The HTTP API's part for filters that come and go while the daemon runs: delay, trace, record, replay."""

from __future__ import annotations

import itertools
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fastapi import Body, FastAPI, Query
from pydantic import BaseModel, Field

from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.filter_tables import open_filters, read_filter
from midlayer.frontends.toml_text import TableMistake
from midlayer.lower.filters import RuleError

_EXAMPLE = {"kind": "trace", "device": "0:0:0:0", "file": "/tmp/trace"}


class FilterState(BaseModel):
    """A filter that was added while the daemon runs."""

    name: str
    rule: dict[str, Any] = Field(description="The keys of [[filter]]; see docs/configuration.md")


class FilterStates(BaseModel):
    """Filters, in the order in which they were added; the last one is the first to see a command."""

    items: list[FilterState]


class RunningFilters:
    """The filters that were added since the start; those of the configuration are not among them."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._open: dict[str, tuple[dict[str, Any], ExitStack]] = {}

    def add(self, keys: dict[str, Any]) -> dict[str, Any]:
        """Put a filter into the path; its ``device`` may be a node, such as sg3.

        Raises:
            RuleError: If a key is wrong.
            ConfigError: If its file can not be written.
            NoSuchDevice: If no attached device has that node.
        """
        rule = self._daemon.with_address(keys)
        file = rule.get("file")
        if isinstance(file, str) and not Path(file).is_absolute():
            raise RuleError(
                "file", f"{file!r} must begin with a slash: the daemon has a directory of its own"
            )
        try:
            spec = read_filter(rule, ("filter",), Path("/"))
        except TableMistake as mistake:
            raise RuleError(str(mistake.place[-1]), mistake.message) from None
        opened = ExitStack()
        opened.enter_context(open_filters(self._daemon.subsystem, [spec]))
        with self._lock:
            name = f"filter{next(self._numbers)}"
            self._open[name] = (rule, opened)
        return {"name": name, "rule": rule}

    def states(self) -> list[dict[str, Any]]:
        """Return what is in the path, in the shape of the API."""
        with self._lock:
            return [{"name": name, "rule": rule} for name, (rule, _) in self._open.items()]

    def clear(self, name: str | None = None) -> list[dict[str, Any]]:
        """Take one filter, or all, out of the path, and close its file; return what they were.

        Raises:
            RuleError: If there is no filter of this name.
        """
        with self._lock:
            if name is not None and name not in self._open:
                known = ", ".join(self._open) or "none"
                raise RuleError(name, f"there is no filter of this name; there are: {known}")
            names = list(self._open) if name is None else [name]
            taken = [(each, *self._open.pop(each)) for each in names]
        for _, _, opened in taken:
            opened.close()
        return [{"name": each, "rule": rule} for each, rule, _ in taken]


def add_filters(app: FastAPI, daemon: Daemon) -> None:
    """Add the calls about filters to an application."""
    running = RunningFilters(daemon)
    daemon.at_stop(running.clear)

    @app.get("/v1/filters", response_model=FilterStates, summary="Filters that were added since the start")
    def filters() -> Any:
        return {"items": running.states()}

    @app.post("/v1/filters", response_model=FilterState, summary="Put a filter into the path of commands")
    def add_filter(
        rule: dict[str, Any] = Body(description="Keys of [[filter]]", examples=[_EXAMPLE]),  # noqa: B008
    ) -> Any:
        return running.add(rule)

    @app.delete("/v1/filters", response_model=FilterStates, summary="Take a filter, or all, out of the path")
    def clear_filters(name: str | None = Query(None, description="One filter; all by default")) -> Any:
        return {"items": running.clear(name)}
