"""The tables ``[daemon]``, ``[log]`` and ``[subsystem]``."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

from midlayer.errors import InvalidRequest, UsageError
from midlayer.frontends.config.tables import path_from, read_table
from midlayer.mid.quirks import QuirkTable

_LISTEN = re.compile(r"(?:\[([0-9a-fA-F:]+)\]|([^:\[\]\s]+)):(\d{1,5})", re.ASCII)


def read_daemon(table: object, base: Path) -> dict[str, Any]:
    """Read ``[daemon]``."""

    def path(value: object) -> Path:
        return path_from(base, value)

    return read_table(table, "daemon", {"socket": path, "listen": _listen, "token_file": path, "state": path})


def read_log(table: object, _base: Path) -> dict[str, Any]:
    """Read ``[log]``."""
    return read_table(table, "log", {"keep_events": _count, "keep_detached": _count})


def read_subsystem(table: object, _base: Path) -> dict[str, Any]:
    """Read ``[subsystem]``."""
    return read_table(table, "subsystem", {"first_host_no": _count, "quirks": _quirks})


def parse_listen(value: object) -> tuple[str, int]:
    """Read an address and a port.

    Raises:
        UsageError: If `value` is anything else.
    """
    match = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[3]) > 65535:
        raise UsageError(f"{value!r} must be an address and a port, such as 127.0.0.1:8649")
    return match[1] or match[2], int(match[3])


def check_open(listen: tuple[str, int] | None, token_file: Path | None) -> None:
    """Make sure that who can reach a port from elsewhere has to know a token.

    Raises:
        UsageError: If `listen` is no loopback address, and there is no token.
    """
    if listen is None or token_file is not None or listen[0] == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(listen[0]).is_loopback
    except ValueError:  # a name, which may lead anywhere
        loopback = False
    if not loopback:
        raise UsageError(
            f"listen {listen[0]}:{listen[1]}: who reaches it can send any SCSI command; "
            "choose a loopback address, or set token_file in [daemon]"
        )


def _listen(value: object) -> tuple[str, int]:
    try:
        return parse_listen(value)
    except UsageError as error:
        raise ValueError(str(error)) from None


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 1 << 31:
        raise ValueError(f"{value!r} must be a number, 0 or more")
    return value


def _quirks(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError('must be a list of texts such as "Acme:RAID:0x240"')
    try:
        for item in value:
            QuirkTable().add(item)
    except InvalidRequest as error:
        raise ValueError(str(error)) from None
    return tuple(value)
