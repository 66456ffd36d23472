"""What a configuration says of a target: ``[[target]]``, its portals, LUNs, accounts and who may come."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from midlayer.errors import SpecError, UsageError
from midlayer.iscsi.chap import Credentials
from midlayer.iscsi.names import check_name
from midlayer.iscsi.portals import DEFAULT_PORT, read_portal
from midlayer.secret_files import read_secret
from midlayer.spelling import no_such_key

MAX_LUN = 0x3FFF

_T = TypeVar("_T")


class TargetSpecError(SpecError):
    """A mistake in what is said of a target.

    Args:
        key: The key that is wrong, such as ``lun.device``.
        message: What is wrong, and what to write.
        index: Which of several tables of that name it is in.
    """

    def __init__(self, key: str, message: str, index: int = 0) -> None:
        super().__init__(key, message)
        self.index = index

    def __str__(self) -> str:
        return f"target {self.key}: {self.message}"

    def __reduce__(self) -> tuple[type[TargetSpecError], tuple[object, ...]]:
        return type(self), (self.key, self.message, self.index)

    @property
    def path(self) -> tuple[str | int, ...]:
        """Where it is in the table of the target."""
        first, *rest = self.key.split(".")
        return (first, self.index, *rest) if rest and first in ("lun", "account") else (first, *rest)


@dataclass(frozen=True, slots=True)
class Portal:
    """An address and a port to listen on.

    Attributes:
        host: IP address.
        port: 0 for any that is free.
        group: Target portal group tag. Each group of a target is a target port of its own, whose relative
            identifier this is: the number of its target port group, on devices that have such.
    """

    host: str
    port: int = DEFAULT_PORT
    group: int = field(default=1, compare=False)

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read ``127.0.0.1:3260``, ``[::1]:3260,2`` (in portal group 2) or an address alone.

        Raises:
            TargetSpecError: If it is none.
        """
        written = read_portal(text)
        try:
            if written is None:
                raise ValueError
            return cls(str(ipaddress.ip_address(written.host)), written.port, written.group or 1)
        except ValueError:
            message = f"{text!r} must be an IP address with a port, such as 127.0.0.1:3260 or [::1]:3260,2"
            raise TargetSpecError("portals", message) from None

    @property
    def loopback(self) -> bool:
        """True if only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def wildcard(self) -> bool:
        """True if it stands for every address of the machine."""
        return ipaddress.ip_address(self.host).is_unspecified

    @property
    def address(self) -> str:
        """Address and port, without the group."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return self.address if self.group == 1 else f"{self.address},{self.group}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LunSpec:
    """One LUN of a target.

    Attributes:
        lun: 0 to 16383.
        device: Address or node of the device.
        read_only: True to refuse what changes it.
        initiators: Who sees it; everybody who may log in, if empty.
    """

    lun: int
    device: str
    read_only: bool = False
    initiators: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetSpec:
    """One target.

    Attributes:
        iqn: Its name, in lower case.
        alias: A text for people.
        portals: Where it listens.
        initiators: Who may log in; everybody, if empty.
        accounts: Names and secrets of which an initiator must know one, if there are any.
        mutual: With what the target proves who it is.
        luns: What it exports.
    """

    iqn: str
    alias: str = ""
    portals: tuple[Portal, ...] = (Portal("127.0.0.1"),)
    initiators: tuple[str, ...] = ()
    accounts: tuple[Credentials, ...] = field(default=(), repr=False)
    mutual: Credentials | None = field(default=None, repr=False)
    luns: tuple[LunSpec, ...] = ()

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any], base: Path = Path()) -> Self:
        """Check and take over a table of the configuration.

        Args:
            given: The table.
            base: Directory that relative paths of secret files start from.

        Raises:
            TargetSpecError: For the first key that is unknown or has an impossible value.
        """
        known = ("iqn", "alias", "portals", "initiators", "account", "mutual", "lun")
        _only(given, known, "")
        spec = cls(
            iqn=_name("iqn", given.get("iqn")),
            alias=_text("alias", given.get("alias", "")),
            portals=tuple(Portal.parse(one) for one in _list("portals", given.get("portals", ["127.0.0.1"]))),
            initiators=_names("initiators", given.get("initiators", [])),
            accounts=_each("account", given, lambda one: _credentials("account", one, base)),
            mutual=_credentials("mutual", given["mutual"], base) if "mutual" in given else None,
            luns=_each("lun", given, _lun),
        )
        spec.check()
        return spec

    def check(self) -> None:
        """Hold the parts against each other.

        Raises:
            TargetSpecError: If they do not fit.
        """
        if not self.portals:
            raise TargetSpecError("portals", "a target needs one, such as 127.0.0.1:3260")
        for portal in self.portals:
            if self.portals.count(portal) > 1:
                raise TargetSpecError("portals", f"{portal.address} is given twice")
        for number, times in Counter(lun.lun for lun in self.luns).items():
            if times > 1:
                raise TargetSpecError("lun.lun", f"{number} is given twice")
        if self.mutual is not None and not self.accounts:
            message = "goes only with an account: the initiator has to prove itself first"
            raise TargetSpecError("mutual", message)
        for account in self.accounts:
            if self.mutual is not None and account.secret == self.mutual.secret:
                message = "its secret must differ from those of the accounts (RFC 7143 9.2.1)"
                raise TargetSpecError("mutual", message)
        open_to_all = not (self.initiators or self.accounts)
        for portal in self.portals:
            if open_to_all and not portal.loopback:
                message = f"{portal} is not a loopback address; name initiators, or an account"
                raise TargetSpecError("portals", message)

    def with_access(self, allow: tuple[str, ...], deny: tuple[str, ...]) -> Self:
        """Return the same target with initiators added and taken away; raises as `check` does."""
        kept = [name for name in self.initiators if name not in deny]
        added = [name for name in allow if name not in kept]
        if deny and not kept and not added:
            message = "without any, everybody may log in; remove the target instead"
            raise TargetSpecError("initiators", message)
        changed = replace(self, initiators=(*kept, *added))
        changed.check()
        return changed


def _each(key: str, given: Mapping[str, Any], convert: Callable[[object], _T]) -> tuple[_T, ...]:
    """Convert the tables of an array, and say in which of them a mistake is."""
    converted = []
    for index, one in enumerate(_list(key, given.get(key, []))):
        try:
            converted.append(convert(one))
        except TargetSpecError as error:
            raise TargetSpecError(error.key, error.message, index) from None
    return tuple(converted)


def _lun(given: object) -> LunSpec:
    if not isinstance(given, Mapping):
        raise TargetSpecError("lun", "write [[target.lun]], once for each LUN")
    _only(given, [one.name for one in fields(LunSpec)], "lun.")
    number = given.get("lun", 0)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_LUN:
        raise TargetSpecError("lun.lun", f"{number!r} must be a number from 0 to {MAX_LUN}")
    read_only = given.get("read_only", False)
    if not isinstance(read_only, bool):
        raise TargetSpecError("lun.read_only", f"{read_only!r} must be true or false")
    device = _text("lun.device", given.get("device"))
    if not device:
        raise TargetSpecError("lun.device", "must be an address such as 0:0:0:0, or a node such as sg0")
    initiators = _names("lun.initiators", given.get("initiators", []))
    return LunSpec(lun=number, device=device, read_only=read_only, initiators=initiators)


def _credentials(key: str, given: object, base: Path) -> Credentials:
    if not isinstance(given, Mapping):
        raise TargetSpecError(key, "write a table with name and secret_file")
    _only(given, ("name", "secret_file"), f"{key}.")
    name = _text(f"{key}.name", given.get("name"))
    path = _text(f"{key}.secret_file", given.get("secret_file"))
    if not name or not path:
        raise TargetSpecError(f"{key}.name" if not name else f"{key}.secret_file", "is missing")
    try:
        return Credentials(name, read_secret(base / path))
    except UsageError as error:
        raise TargetSpecError(f"{key}.secret_file", str(error)) from None


def _only(given: Mapping[str, Any], known: Any, prefix: str) -> None:
    for key in given:
        if key not in known:
            raise TargetSpecError(f"{prefix}{key}", no_such_key(key, known))


def _name(key: str, value: object) -> str:
    try:
        return check_name(_text(key, value))
    except TargetSpecError:
        raise
    except UsageError as error:
        raise TargetSpecError(key, str(error)) from None


def _names(key: str, value: object) -> tuple[str, ...]:
    return tuple(_name(key, one) for one in _list(key, value))


def _list(key: str, value: object) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TargetSpecError(key, f"{value!r} must be a list")
    return list(value)


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise TargetSpecError(key, "is missing" if value is None else f"{value!r} must be text in quotes")
    return value
