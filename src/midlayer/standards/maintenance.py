"""Service actions of MAINTENANCE IN and OUT that have no module of their own (SPC-4 6.32, 6.36, 6.44)."""

from __future__ import annotations

from midlayer.layout import Layout, bits, flag, uint

__all__ = ["IdentifyingInformation", "ReportSupportedTaskManagementFunctions"]


class IdentifyingInformation(Layout, size=12):
    """REPORT and SET IDENTIFYING INFORMATION, a name that an owner gives to a unit (SPC-4 6.32, 6.44).

    `length` is the allocation length of one and the parameter list length of the other.
    """

    opcode: int = uint(0)
    service_action: int = bits(1, 4, 0)
    length: int = uint(6, 4)
    identifying_information_type: int = bits(10, 7, 1)
    control: int = uint(11)


class ReportSupportedTaskManagementFunctions(Layout, size=12):
    """REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 6.36)."""

    opcode = uint(0, const=0xA3)
    service_action = bits(1, 4, 0, const=0x0D)
    repd: bool = flag(2, 7)
    allocation_length: int = uint(6, 4)
    control: int = uint(11)
