"""Every operational key of RFC 7143 chapter 13 and RFC 7144, one row each, and how two sides agree.

A negotiation is one offer and one answer. `answer` is what the responding side makes of an offer, and
`accept` what the offering side makes of the answer; both put the outcome into `Parameters`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, Flag, auto

from midlayer.iscsi import text
from midlayer.iscsi.errors import LoginError, ProtocolError

Value = bool | int | str


class Phase(Flag):
    """When a key may be used (the RFC's IO, LO, FFPO, ALL)."""

    INITIAL = auto()
    LOGIN = auto()
    FULL_FEATURE = auto()
    ALL = INITIAL | LOGIN | FULL_FEATURE


class Side(Flag):
    """Who may send a key first."""

    INITIATOR = auto()
    TARGET = auto()
    BOTH = INITIATOR | TARGET


class Kind(Enum):
    """How the outcome follows from offer and answer."""

    OR = auto()
    """Boolean; Yes if one side says so."""
    AND = auto()
    """Boolean; Yes if both sides say so."""
    MINIMUM = auto()
    MAXIMUM = auto()
    LIST = auto()
    """The first of the offered values that the other side can do."""
    DECLARED = auto()
    """Told, not negotiated; each side has its own."""
    OBSOLETE = auto()
    """From RFC 3720; the answer is always the one value that turns it off."""


@dataclass(frozen=True, slots=True)
class Key:
    """One row of the table.

    Attributes:
        kind: How the outcome is found.
        default: Its value when nobody mentions it.
        phases: When it may be sent.
        sides: Who may send it first.
        lowest, highest: Of a number.
        choices: Of a list.
        normal_only: True if it means nothing in a discovery session.
    """

    kind: Kind
    default: Value
    phases: Phase = Phase.INITIAL | Phase.LOGIN
    sides: Side = Side.BOTH
    lowest: int = 0
    highest: int = 0
    choices: tuple[str, ...] = ()
    normal_only: bool = False


_LONGEST = (1 << 24) - 1
_DIGESTS = ("CRC32C", "None")

KEYS: dict[str, Key] = {
    "HeaderDigest": Key(Kind.LIST, "None", choices=_DIGESTS),
    "DataDigest": Key(Kind.LIST, "None", choices=_DIGESTS),
    "MaxConnections": Key(Kind.MINIMUM, 1, lowest=1, highest=65535, normal_only=True),
    "SendTargets": Key(Kind.DECLARED, "", Phase.FULL_FEATURE, Side.INITIATOR),
    "TargetName": Key(Kind.DECLARED, "", Phase.INITIAL | Phase.FULL_FEATURE),
    "InitiatorName": Key(Kind.DECLARED, "", Phase.INITIAL, Side.INITIATOR),
    "TargetAlias": Key(Kind.DECLARED, "", Phase.ALL, Side.TARGET),
    "InitiatorAlias": Key(Kind.DECLARED, "", Phase.ALL, Side.INITIATOR),
    "TargetAddress": Key(Kind.DECLARED, "", Phase.ALL, Side.TARGET),
    "TargetPortalGroupTag": Key(Kind.DECLARED, 1, Phase.INITIAL, Side.TARGET, lowest=0, highest=65535),
    "InitialR2T": Key(Kind.OR, True, normal_only=True),
    "ImmediateData": Key(Kind.AND, True, normal_only=True),
    "MaxRecvDataSegmentLength": Key(Kind.DECLARED, 8192, Phase.ALL, lowest=512, highest=_LONGEST),
    "MaxBurstLength": Key(Kind.MINIMUM, 262144, lowest=512, highest=_LONGEST, normal_only=True),
    "FirstBurstLength": Key(Kind.MINIMUM, 65536, lowest=512, highest=_LONGEST, normal_only=True),
    "DefaultTime2Wait": Key(Kind.MAXIMUM, 2, lowest=0, highest=3600),
    "DefaultTime2Retain": Key(Kind.MINIMUM, 20, lowest=0, highest=3600),
    "MaxOutstandingR2T": Key(Kind.MINIMUM, 1, lowest=1, highest=65535, normal_only=True),
    "DataPDUInOrder": Key(Kind.OR, True, normal_only=True),
    "DataSequenceInOrder": Key(Kind.OR, True, normal_only=True),
    "ErrorRecoveryLevel": Key(Kind.MINIMUM, 0, lowest=0, highest=2),
    "SessionType": Key(Kind.DECLARED, "Normal", Phase.INITIAL, Side.INITIATOR),
    "TaskReporting": Key(
        Kind.LIST, "RFC3720", choices=("RFC3720", "ResponseFence", "FastAbort"), normal_only=True
    ),
    "iSCSIProtocolLevel": Key(Kind.MINIMUM, 1, lowest=0, highest=31, normal_only=True),
    "IFMarker": Key(Kind.OBSOLETE, "No"),
    "OFMarker": Key(Kind.OBSOLETE, "No"),
    "IFMarkInt": Key(Kind.OBSOLETE, text.REJECT),
    "OFMarkInt": Key(Kind.OBSOLETE, text.REJECT),
}

OURS: dict[str, Value] = {
    "HeaderDigest": "None",
    "DataDigest": "None",
    "MaxConnections": 1,
    "InitialR2T": False,
    "ImmediateData": True,
    "MaxBurstLength": 1 << 20,
    "FirstBurstLength": 1 << 18,
    "DefaultTime2Wait": 0,
    "DefaultTime2Retain": 0,
    "MaxOutstandingR2T": 8,
    "DataPDUInOrder": True,
    "DataSequenceInOrder": True,
    "ErrorRecoveryLevel": 0,
    "TaskReporting": "RFC3720",
    "iSCSIProtocolLevel": 2,
    "MaxRecvDataSegmentLength": 1 << 18,
}
"""What we want where nothing else is asked for. Boolean and numerical keys are wishes, not offers."""


@dataclass(slots=True)
class Parameters:
    """What was agreed on.

    Attributes:
        wanted: Our own wishes by key, over `OURS`.
        values: The outcome by key; what is not in it has the key's default.
        peer: What the other side declared.
        answered: Keys that were negotiated in this login, and may not be negotiated again.
        digests: Values of HeaderDigest and DataDigest that we accept, in no order.
    """

    wanted: Mapping[str, Value] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    peer: dict[str, Value] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    digests: frozenset[str] = frozenset(_DIGESTS)

    def wish(self, key: str) -> Value:
        """Return what we want of a key."""
        return self.wanted.get(key, OURS.get(key, KEYS[key].default))

    def number(self, key: str) -> int:
        """Return the outcome of a numerical key."""
        return int(self.values.get(key, KEYS[key].default))

    def yes(self, key: str) -> bool:
        """Return the outcome of a boolean key."""
        return bool(self.values.get(key, KEYS[key].default))

    def choice(self, key: str) -> str:
        """Return the outcome of a list."""
        return str(self.values.get(key, KEYS[key].default))

    def peer_number(self, key: str) -> int:
        """Return what the other side declared of a number."""
        return int(self.peer.get(key, KEYS[key].default))

    def finish(self) -> None:
        """Bring the outcome in line with itself: FirstBurstLength is at most MaxBurstLength (13.14)."""
        burst = self.number("MaxBurstLength")
        self.values["FirstBurstLength"] = min(self.number("FirstBurstLength"), burst)


def spell(value: Value) -> str:
    """Return a value as text has it."""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return str(value)


def answer(
    parameters: Parameters, key: str, value: str, *, phase: Phase, sender: Side, discovery: bool = False
) -> str | None:
    """Respond to what the other side sent of one key.

    Args:
        parameters: Where the outcome goes.
        key, value: As they came.
        phase: Where the session is.
        sender: Who sent them.
        discovery: True in a discovery session.

    Returns:
        The value to answer with; None for a declaration, which needs no answer.

    Raises:
        ProtocolError: A key that may not be sent now or by this side, or is negotiated twice.
    """
    row = KEYS.get(key)
    if row is None:
        return text.NOT_UNDERSTOOD
    if not (row.phases & phase and row.sides & sender):
        raise ProtocolError(f"{key} can not be sent now")
    if key in parameters.answered:
        raise ProtocolError(f"{key} was negotiated before")
    if row.kind is Kind.DECLARED:
        declare(parameters, key, value)
        return None
    parameters.answered.add(key)
    if row.normal_only and discovery:
        return text.IRRELEVANT
    return _RESPONDERS[row.kind](parameters, key, row, value)


def declare(parameters: Parameters, key: str, value: str) -> None:
    """Take over what the other side says of itself.

    Raises:
        ProtocolError: If it can not be.
    """
    row = KEYS[key]
    if row.highest:
        number = text.number(value)
        if number is None or not row.lowest <= number <= row.highest:
            raise ProtocolError(f"{key} has to be a number from {row.lowest} to {row.highest}")
        parameters.peer[key] = number
    else:
        parameters.peer[key] = value


def accept(parameters: Parameters, key: str, value: str) -> None:
    """Take over the other side's answer to our own offer of a key.

    Raises:
        LoginError: If the answer can not be one.
    """
    row = KEYS.get(key)
    if row is None or value in (text.NOT_UNDERSTOOD, text.IRRELEVANT, text.REJECT):
        return  # the default stays
    if row.kind is Kind.DECLARED:
        declare(parameters, key, value)
        return
    answered = _ACCEPTERS[row.kind](parameters, key, row, value)
    if answered is None:
        raise LoginError(f"the target answered {key} with something that was not offered")
    parameters.values[key] = answered
    parameters.answered.add(key)


def _respond_boolean(parameters: Parameters, key: str, row: Key, value: str) -> str:
    if value not in ("Yes", "No"):
        return text.REJECT
    ours, theirs = bool(parameters.wish(key)), value == "Yes"
    outcome = ours or theirs if row.kind is Kind.OR else ours and theirs
    parameters.values[key] = outcome
    return spell(outcome)


def _respond_number(parameters: Parameters, key: str, row: Key, value: str) -> str:
    theirs = text.number(value)
    if theirs is None or not row.lowest <= theirs <= row.highest:
        return text.REJECT
    choose: Callable[[int, int], int] = min if row.kind is Kind.MINIMUM else max
    outcome = choose(int(parameters.wish(key)), theirs)
    parameters.values[key] = outcome
    return spell(outcome)


def _respond_list(parameters: Parameters, key: str, row: Key, value: str) -> str:
    for offered in value.split(","):
        if offered in row.choices and _can(parameters, key, offered):
            parameters.values[key] = offered
            return offered
    return text.REJECT


def _can(parameters: Parameters, key: str, offered: str) -> bool:
    if key in ("HeaderDigest", "DataDigest"):
        return offered in parameters.digests
    return offered == parameters.wish(key)


def _respond_obsolete(parameters: Parameters, key: str, row: Key, value: str) -> str:
    return str(row.default)


_RESPONDERS: dict[Kind, Callable[[Parameters, str, Key, str], str]] = {
    Kind.OR: _respond_boolean,
    Kind.AND: _respond_boolean,
    Kind.MINIMUM: _respond_number,
    Kind.MAXIMUM: _respond_number,
    Kind.LIST: _respond_list,
    Kind.OBSOLETE: _respond_obsolete,
}


def _accept_boolean(parameters: Parameters, key: str, row: Key, value: str) -> Value | None:
    ours = bool(parameters.wish(key))
    theirs = {"Yes": True, "No": False}.get(value)
    if theirs is None:
        return None
    return ours or theirs if row.kind is Kind.OR else ours and theirs


def _accept_number(parameters: Parameters, key: str, row: Key, value: str) -> Value | None:
    theirs, ours = text.number(value), int(parameters.wish(key))
    if theirs is None or not row.lowest <= theirs <= row.highest:
        return None
    return min(ours, theirs) if row.kind is Kind.MINIMUM else max(ours, theirs)


def _accept_list(parameters: Parameters, key: str, row: Key, value: str) -> Value | None:
    return value if value in str(parameters.wish(key)).split(",") else None


def _accept_obsolete(parameters: Parameters, key: str, row: Key, value: str) -> Value | None:
    return None


_ACCEPTERS: dict[Kind, Callable[[Parameters, str, Key, str], Value | None]] = {
    Kind.OR: _accept_boolean,
    Kind.AND: _accept_boolean,
    Kind.MINIMUM: _accept_number,
    Kind.MAXIMUM: _accept_number,
    Kind.LIST: _accept_list,
    Kind.OBSOLETE: _accept_obsolete,
}
