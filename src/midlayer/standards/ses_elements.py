"""Elements of an enclosure (SES-3 clause 7.3): four bytes each in pages 02h and 05h.

An element of the status page says how it is, one of the control page what it is to do. Names that both have
mean the same: what was requested comes back as status.
"""

from __future__ import annotations

from enum import IntEnum

from midlayer.layout import Layout, bits, flag, uint

__all__ = [
    "ArrayDeviceSlotControl",
    "ArrayDeviceSlotStatus",
    "CoolingControl",
    "CoolingStatus",
    "ElementStatusCode",
    "ElementType",
    "EnclosureControl",
    "EnclosureStatus",
    "PowerSupplyControl",
    "PowerSupplyStatus",
    "TemperatureSensorControl",
    "TemperatureSensorStatus",
    "ThresholdElement",
]

TEMPERATURE_OFFSET = 20
"""What a temperature byte is above degrees Celsius."""


class ElementType(IntEnum):
    """Element type codes that this module has layouts for (SES-3 table 71)."""

    DEVICE_SLOT = 0x01
    POWER_SUPPLY = 0x02
    COOLING = 0x03
    TEMPERATURE_SENSOR = 0x04
    ENCLOSURE = 0x0E
    ARRAY_DEVICE_SLOT = 0x17


class ElementStatusCode(IntEnum):
    """ELEMENT STATUS CODE field (SES-3 table 73)."""

    UNSUPPORTED = 0
    OK = 1
    CRITICAL = 2
    NONCRITICAL = 3
    UNRECOVERABLE = 4
    NOT_INSTALLED = 5
    UNKNOWN = 6
    NOT_AVAILABLE = 7
    NO_ACCESS_ALLOWED = 8


class Status(Layout, size=4):
    """What every status element has in its first byte (SES-3 table 72)."""

    prdfail: bool = flag(0, 6)
    disabled: bool = flag(0, 5)
    swap: bool = flag(0, 4)
    element_status_code: int = bits(0, 3, 0)


class Control(Layout, size=4):
    """What every control element has in its first byte (SES-3 table 69)."""

    select: bool = flag(0, 7)
    prdfail: bool = flag(0, 6)
    disable: bool = flag(0, 5)
    rst_swap: bool = flag(0, 4)


class ArrayDeviceSlotStatus(Status, size=4):
    """Array Device Slot status element (SES-3 7.3.3)."""

    ok: bool = flag(1, 7)
    rsvd_device: bool = flag(1, 6)
    hot_spare: bool = flag(1, 5)
    cons_chk: bool = flag(1, 4)
    in_crit_array: bool = flag(1, 3)
    in_failed_array: bool = flag(1, 2)
    rebuild_remap: bool = flag(1, 1)
    r_r_abort: bool = flag(1, 0)
    app_client_bypassed_a: bool = flag(2, 7)
    do_not_remove: bool = flag(2, 6)
    enclosure_bypassed_a: bool = flag(2, 5)
    enclosure_bypassed_b: bool = flag(2, 4)
    ready_to_insert: bool = flag(2, 3)
    rmv: bool = flag(2, 2)
    ident: bool = flag(2, 1)
    report: bool = flag(2, 0)
    app_client_bypassed_b: bool = flag(3, 7)
    fault_sensed: bool = flag(3, 6)
    fault_reqstd: bool = flag(3, 5)
    device_off: bool = flag(3, 4)
    bypassed_a: bool = flag(3, 3)
    bypassed_b: bool = flag(3, 2)
    device_bypassed_a: bool = flag(3, 1)
    device_bypassed_b: bool = flag(3, 0)


class ArrayDeviceSlotControl(Control, size=4):
    """Array Device Slot control element (SES-3 7.3.3)."""

    rqst_ok: bool = flag(1, 7)
    rqst_rsvd_device: bool = flag(1, 6)
    rqst_hot_spare: bool = flag(1, 5)
    rqst_cons_check: bool = flag(1, 4)
    rqst_in_crit_array: bool = flag(1, 3)
    rqst_in_failed_array: bool = flag(1, 2)
    rqst_rebuild_remap: bool = flag(1, 1)
    rqst_r_r_abort: bool = flag(1, 0)
    rqst_active: bool = flag(2, 7)
    do_not_remove: bool = flag(2, 6)
    rqst_missing: bool = flag(2, 4)
    rqst_insert: bool = flag(2, 3)
    rqst_remove: bool = flag(2, 2)
    rqst_ident: bool = flag(2, 1)
    rqst_fault: bool = flag(3, 5)
    device_off: bool = flag(3, 4)
    enable_byp_a: bool = flag(3, 3)
    enable_byp_b: bool = flag(3, 2)


class PowerSupplyStatus(Status, size=4):
    """Power Supply status element (SES-3 7.3.4)."""

    ident: bool = flag(1, 7)
    dc_over_voltage: bool = flag(2, 3)
    dc_under_voltage: bool = flag(2, 2)
    dc_over_current: bool = flag(2, 1)
    hot_swap: bool = flag(3, 7)
    fail: bool = flag(3, 6)
    rqsted_on: bool = flag(3, 5)
    off: bool = flag(3, 4)
    overtmp_fail: bool = flag(3, 3)
    temp_warn: bool = flag(3, 2)
    ac_fail: bool = flag(3, 1)
    dc_fail: bool = flag(3, 0)


class PowerSupplyControl(Control, size=4):
    """Power Supply control element (SES-3 7.3.4)."""

    rqst_ident: bool = flag(1, 7)
    rqst_fail: bool = flag(3, 6)
    rqst_on: bool = flag(3, 5)


class CoolingStatus(Status, size=4):
    """Cooling status element (SES-3 7.3.5); the speed is in units of 10 revolutions a minute."""

    ident: bool = flag(1, 7)
    actual_fan_speed: int = bits(1, 2, 0, length=2)
    hot_swap: bool = flag(3, 7)
    fail: bool = flag(3, 6)
    rqsted_on: bool = flag(3, 5)
    off: bool = flag(3, 4)
    actual_speed_code: int = bits(3, 2, 0)


class CoolingControl(Control, size=4):
    """Cooling control element (SES-3 7.3.5); speed code 1 is the lowest, 7 the highest, 0 no change."""

    rqst_ident: bool = flag(1, 7)
    rqst_fail: bool = flag(3, 6)
    rqst_on: bool = flag(3, 5)
    requested_speed_code: int = bits(3, 2, 0)


class TemperatureSensorStatus(Status, size=4):
    """Temperature Sensor status element (SES-3 7.3.6); 20 is 0 degrees Celsius."""

    ident: bool = flag(1, 7)
    fail: bool = flag(1, 6)
    temperature: int = uint(2)
    rqst_override: bool = flag(3, 7)
    ot_failure: bool = flag(3, 3)
    ot_warning: bool = flag(3, 2)
    ut_failure: bool = flag(3, 1)
    ut_warning: bool = flag(3, 0)


class TemperatureSensorControl(Control, size=4):
    """Temperature Sensor control element (SES-3 7.3.6)."""

    rqst_ident: bool = flag(1, 7)
    rqst_fail: bool = flag(1, 6)
    rqst_override: bool = flag(3, 7)


class EnclosureStatus(Status, size=4):
    """Enclosure status element (SES-3 7.3.16)."""

    ident: bool = flag(1, 7)
    time_until_power_cycle: int = bits(2, 7, 2)
    failure_indication: bool = flag(2, 1)
    warning_indication: bool = flag(2, 0)
    requested_power_off_duration: int = bits(3, 7, 2)
    failure_requested: bool = flag(3, 1)
    warning_requested: bool = flag(3, 0)


class EnclosureControl(Control, size=4):
    """Enclosure control element (SES-3 7.3.16)."""

    rqst_ident: bool = flag(1, 7)
    power_cycle_request: int = bits(2, 7, 6)
    power_cycle_delay: int = bits(2, 5, 0)
    power_off_duration: int = bits(3, 7, 2)
    request_failure: bool = flag(3, 1)
    request_warning: bool = flag(3, 0)


class ThresholdElement(Layout, size=4):
    """Threshold status and control element (SES-3 7.3.1.3); of a temperature, with 20 for 0 degrees."""

    high_critical_threshold: int = uint(0)
    high_warning_threshold: int = uint(1)
    low_warning_threshold: int = uint(2)
    low_critical_threshold: int = uint(3)
