"""The I_T nexus: which initiator port sent a command, and through which target port (SAM-5 4.7)."""

from __future__ import annotations

from typing import NamedTuple


class Nexus(NamedTuple):
    """One initiator port as one target port sees it.

    A logical unit keeps reservations, unit attentions and mode pages for each nexus. Two commands are of
    the same nexus when the values are equal.

    Attributes:
        initiator_port: Name of the initiator port: for iSCSI ``iqn.…,i,0x`` and the ISID in hexadecimal.
        transport_id: The TransportID that stands for it in PERSISTENT RESERVE data (SPC-4 7.6.4).
        relative_target_port: Relative target port identifier, from 1.
    """

    initiator_port: str
    transport_id: bytes
    relative_target_port: int = 1

    def __str__(self) -> str:
        return self.initiator_port


LOCAL = Nexus("local", b"\x06" + bytes(23))
"""The subsystem itself: commands that come from this process, through no target port of ours.

Its TransportID is a SAS one of zeros: protocol identifier 6 is the one with a fixed length and no name.
"""
