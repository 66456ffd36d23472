"""A target of ours on the loopback address, and an initiator that may log in to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from iscsi_array import Array

from midlayer.lower.iscsi import IscsiDriver
from midlayer.mid.host import Host
from midlayer.mid.subsystem import Subsystem


@pytest.fixture
def array() -> Iterator[Array]:
    array = Array()
    yield array
    array.close()


@pytest.fixture
def subsystem() -> Iterator[Subsystem]:
    """The initiator's subsystem."""
    subsystem = Subsystem()
    yield subsystem
    for host in subsystem.hosts():
        subsystem.remove_host(host)
        host.put()
    subsystem.clock.close()  # type: ignore[attr-defined]


@pytest.fixture
def log_in(array: Array, subsystem: Subsystem) -> Callable[..., Host]:
    """Export the target and log in to it; keys are those of the session."""

    def log_in(*, export: dict[str, Any] | None = None, **keys: Any) -> Host:
        array.export(**(export or {}))
        return IscsiDriver(subsystem).add_host(array.spec(**keys))

    return log_in
