"""What both sides of a login share: who meets whom, and which stage may follow which."""

from __future__ import annotations

from dataclasses import dataclass

from midlayer.iscsi.codes import Stage

SECURITY_KEYS = frozenset({"AuthMethod", "CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R"})
LOGIN_DATA_BYTES = 8192
"""MaxRecvDataSegmentLength of both sides until the login is over (RFC 7143 13.12)."""

MAX_EXCHANGES = 32
"""Most requests of one login."""

NEXT_STAGES: dict[int, frozenset[int]] = {
    Stage.SECURITY: frozenset({Stage.OPERATIONAL, Stage.FULL_FEATURE}),
    Stage.OPERATIONAL: frozenset({Stage.FULL_FEATURE}),
}
"""Where a login may go from each stage (RFC 7143 6.3)."""


@dataclass(slots=True)
class Identity:
    """Who meets whom on a connection.

    Attributes:
        initiator_name: In lower case.
        isid: Six bytes; with the name it is the initiator port.
        target_name: In lower case; empty in a discovery session.
        tsih: The target's number for the session; 0 until there is one.
        cid: The initiator's number for the connection.
        discovery: True if the session is for discovery only.
        alias: What the initiator calls itself.
    """

    initiator_name: str = ""
    isid: bytes = bytes(6)
    target_name: str = ""
    tsih: int = 0
    cid: int = 0
    discovery: bool = False
    alias: str = ""
