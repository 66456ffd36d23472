"""What a configuration, or a device URL, says of a session with a target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from midlayer.conversions import flag, number
from midlayer.errors import SpecError, UsageError
from midlayer.iscsi.chap import Credentials
from midlayer.iscsi.initiator_login import Wishes
from midlayer.iscsi.names import check_name
from midlayer.iscsi.portals import read_portal
from midlayer.secret_files import read_secret
from midlayer.spelling import no_such_key

DEFAULT_INITIATOR = "iqn.2026-11.io.midlayer:initiator"
_MOST_SECONDS = 86400


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionSpec:
    """One session: who logs in to which target, where, and how.

    Attributes:
        portal: ``192.0.2.1:3260``, ``[2001:db8::1]:3260``, or a host name; port 3260 if none is given.
        target: Its iSCSI name; empty for a discovery session.
        initiator: Our own iSCSI name.
        user, secret: CHAP name, and the secret that we answer with.
        target_user, target_secret: What the target has to answer our challenge with (mutual CHAP).
        header_digest, data_digest: True for CRC32C.
        login_timeout_s: Seconds that a connection and a login may take.
        ping_interval_s: Seconds of silence after which the target is asked whether it is there; 0 never.
        replacement_timeout_s: Seconds that commands wait for a lost session to come back.
        queue_depth: Commands at once for one logical unit.
        host_no: Number of the host; the lowest free one if it is not given.
    """

    portal: str
    target: str = ""
    initiator: str = DEFAULT_INITIATOR
    user: str = ""
    secret: bytes = field(default=b"", repr=False)
    target_user: str = ""
    target_secret: bytes = field(default=b"", repr=False)
    header_digest: bool = False
    data_digest: bool = False
    login_timeout_s: float = 15.0
    ping_interval_s: float = 5.0
    replacement_timeout_s: float = 120.0
    queue_depth: int = 64
    host_no: int | None = None

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any], *, base: Path = Path()) -> Self:
        """Check and take over the keys of a configuration table or of a device URL.

        Args:
            given: `secret` and `target_secret` are the names of files there.
            base: Directory that relative file names start from.

        Raises:
            SpecError: For the first key that is unknown or has an impossible value.
        """
        known = {each.name for each in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in given.items():
            if key not in known:
                raise SpecError(key, no_such_key(key, known))
            values[key] = _CONVERSIONS[key](key, base / value if key in _FILES else value)
        if "portal" not in values:
            raise SpecError("portal", 'is missing; write portal = "192.0.2.1:3260"')
        for one, other in (("user", "secret"), ("target_user", "target_secret")):
            if bool(values.get(one)) != bool(values.get(other)):
                raise SpecError(one, f"{one} and {other} belong together")
        if values.get("target_user") and not values.get("user"):
            raise SpecError("target_user", "mutual CHAP needs user and secret as well")
        return cls(**values)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the portal."""
        return parse_portal(self.portal)

    def wishes(self, isid: bytes) -> Wishes:
        """Return what the login is to ask for."""
        ours = Credentials(self.user, self.secret) if self.user else None
        theirs = Credentials(self.target_user, self.target_secret) if self.target_user else None
        return Wishes(
            initiator_name=self.initiator,
            target_name=self.target,
            isid=isid,
            account=ours,
            target_account=theirs,
            wanted={
                "HeaderDigest": "CRC32C,None" if self.header_digest else "None",
                "DataDigest": "CRC32C,None" if self.data_digest else "None",
            },
        )


def parse_portal(text: str) -> tuple[str, int]:
    """Read a portal.

    Raises:
        SpecError: If it is none.
    """
    portal = read_portal(text)
    if portal is None or portal.group is not None or not portal.port:
        raise SpecError("portal", f"{text!r} must be an address and a port, such as 192.0.2.1:3260")
    return portal.host, portal.port


def _portal(key: str, value: object) -> str:
    text = _text(key, value)
    parse_portal(text)
    return text


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise SpecError(key, f"{value!r} must be text in quotes")
    return value


def _name(key: str, value: object) -> str:
    try:
        return check_name(_text(key, value))
    except SpecError:
        raise
    except UsageError as error:
        raise SpecError(key, str(error)) from None


def _secret(key: str, value: Path) -> bytes:
    try:
        return read_secret(value, shortest=1)  # how long it has to be is the target's business
    except UsageError as error:
        raise SpecError(key, str(error)) from None


def _seconds(key: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) else -1.0
    except ValueError:
        number = -1.0
    if isinstance(value, bool) or not 0 <= number <= _MOST_SECONDS:
        raise SpecError(key, f"{value!r} must be a number of seconds from 0 to {_MOST_SECONDS}")
    return number


_FILES = ("secret", "target_secret")
_CONVERSIONS: dict[str, Any] = {
    "portal": _portal,
    "target": _name,
    "initiator": _name,
    "user": _text,
    "secret": _secret,
    "target_user": _text,
    "target_secret": _secret,
    "header_digest": flag,
    "data_digest": flag,
    "login_timeout_s": _seconds,
    "ping_interval_s": _seconds,
    "replacement_timeout_s": _seconds,
    "queue_depth": number(1, 1024),
    "host_no": number(0, 1 << 20),
}
