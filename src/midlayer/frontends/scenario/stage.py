"""Where a scenario is played: in a daemon, or on a subsystem in this process."""

from __future__ import annotations

from typing import Any, Protocol

from midlayer.frontends.cli.client import Client
from midlayer.frontends.daemon.core import Daemon
from midlayer.lower.filters import RuleError, faults_of

_STATES = {"offline": "offline", "online": "running"}


class Stage(Protocol):
    """What a scenario does to a subsystem. Faults have the shape that the API gives them."""

    def add_fault(self, keys: dict[str, Any]) -> None:
        """Put a fault in force."""

    def clear_fault(self, name: str) -> dict[str, Any] | None:
        """Take a fault out of force; how it was then, or None if somebody else cleared it."""

    def act(self, action: str, device: str) -> None:
        """Plug, unplug, take offline or online."""

    def injections(self) -> list[dict[str, Any]]:
        """Return the latest injections."""


class ClientStage:
    """A daemon that runs, by its API."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def add_fault(self, keys: dict[str, Any]) -> None:
        self._client.post("faults", **keys)

    def clear_fault(self, name: str) -> dict[str, Any] | None:
        if name not in (item["name"] for item in self._client.get("faults")["items"]):
            return None
        cleared: dict[str, Any] = self._client.delete("faults", name=name)["items"][0]
        return cleared

    def act(self, action: str, device: str) -> None:
        if action in _STATES:
            self._client.post("state", device=device, state=_STATES[action])
        else:
            self._client.post(action, device=device)

    def injections(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._client.get("faults", "injected")["items"]
        return items


class DaemonStage:
    """A subsystem in this process."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def add_fault(self, keys: dict[str, Any]) -> None:
        from midlayer.frontends.daemon.faults import put_in_force

        put_in_force(self._daemon, keys)

    def clear_fault(self, name: str) -> dict[str, Any] | None:
        try:
            (state,) = faults_of(self._daemon.subsystem).clear([name])
        except RuleError:
            return None
        return state.to_json()

    def act(self, action: str, device: str) -> None:
        if action == "plug":
            self._daemon.plug(device, None)
        elif action == "unplug":
            self._daemon.unplug(device)
        else:
            self._daemon.set_state(device, _STATES[action])

    def injections(self) -> list[dict[str, Any]]:
        from midlayer.frontends.daemon.faults import injections

        return injections(self._daemon)
