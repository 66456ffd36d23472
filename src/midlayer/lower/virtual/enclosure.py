"""What an enclosure is made of, what initiators have asked of its elements, and how these are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from midlayer.lower.virtual.spec import UnitSpec
from midlayer.standards import ses_elements as elements
from midlayer.standards.ses_elements import ElementStatusCode as Code
from midlayer.standards.ses_elements import ElementType, ThresholdElement

_DEGREES = elements.TEMPERATURE_OFFSET
_RPM_10 = 80
"""Revolutions a minute, in tens, for each step of a fan's speed code."""

USUAL_THRESHOLDS = ThresholdElement(
    high_critical_threshold=60 + _DEGREES,
    high_warning_threshold=50 + _DEGREES,
    low_warning_threshold=5 + _DEGREES,
    low_critical_threshold=_DEGREES,
)
_WORST = (Code.UNRECOVERABLE, Code.CRITICAL, Code.NONCRITICAL, Code.OK, Code.NOT_INSTALLED)


@dataclass(frozen=True, slots=True)
class Group:
    """All elements of a type.

    Attributes:
        kind: Element type code.
        count: How many there are.
        text: What the type is called.
        name: What one is called; a number follows it.
    """

    kind: ElementType
    count: int
    text: str
    name: str


class Enclosure:
    """The elements of an enclosure.

    Attributes:
        groups: By type, in the order in which pages have them.
        controls: What was asked of each element, by group and number.
        thresholds: Of each temperature sensor.
        flags: INFO, NON-CRIT, CRIT and UNRECOV as the control page has set them.
        lock: Held while several of these are read or changed.
    """

    def __init__(self, spec: UnitSpec, is_present: Callable[[int], bool]) -> None:
        """Make a quiet enclosure.

        Args:
            spec: How many elements of each type, and the temperature.
            is_present: Says whether there is a unit in a slot.
        """
        self.groups = (
            Group(ElementType.ARRAY_DEVICE_SLOT, spec.slots, "Device slots", "Slot"),
            Group(ElementType.POWER_SUPPLY, spec.power_supplies, "Power supplies", "PSU"),
            Group(ElementType.COOLING, spec.fans, "Fans", "Fan"),
            Group(ElementType.TEMPERATURE_SENSOR, spec.temperature_sensors, "Temperatures", "Sensor"),
            Group(ElementType.ENCLOSURE, 1, "Enclosure", "Enclosure"),
        )
        self.controls: dict[tuple[int, int], elements.Control] = {
            (index, number): _AT_FIRST[group.kind]
            for index, group in enumerate(self.groups)
            for number in range(group.count)
        }
        self.thresholds = [USUAL_THRESHOLDS] * spec.temperature_sensors
        self.flags = 0
        self.lock = threading.Lock()
        self._temperature = min(spec.temperature + _DEGREES, 0xFF)
        self._is_present = is_present
        self._seen: list[bool | None] = [None] * spec.slots  # None until somebody has looked
        self._swapped = [False] * spec.slots

    def statuses(self) -> list[list[elements.Status]]:
        """Return how the elements of each group are."""
        return [
            [self._status(group.kind, number, self.controls[index, number]) for number in range(group.count)]
            for index, group in enumerate(self.groups)
        ]

    def control(self, index: int, number: int, wanted: elements.Control) -> None:
        """Do what a control element says."""
        kind = self.groups[index].kind
        if isinstance(wanted, elements.CoolingControl) and not wanted.requested_speed_code:
            before = self.controls[index, number]
            assert isinstance(before, elements.CoolingControl)
            wanted = wanted.replace(requested_speed_code=before.requested_speed_code)
        if kind == ElementType.ARRAY_DEVICE_SLOT and wanted.rst_swap:
            self._swapped[number] = False
        self.controls[index, number] = wanted.replace(select=False, rst_swap=False)

    def _status(self, kind: ElementType, number: int, control: elements.Control) -> elements.Status:
        match control:
            case elements.ArrayDeviceSlotControl():
                return self._slot(number, control)
            case elements.PowerSupplyControl():
                return _power_supply(control)
            case elements.CoolingControl():
                return _cooling(control)
            case elements.TemperatureSensorControl():
                return self._sensor(number, control)
            case elements.EnclosureControl():
                return _enclosure(control)
        raise AssertionError(kind)

    def _slot(self, number: int, asked: elements.ArrayDeviceSlotControl) -> elements.Status:
        present = self._is_present(number)
        if self._seen[number] not in (None, present):
            self._swapped[number] = True
        self._seen[number] = present
        return elements.ArrayDeviceSlotStatus(
            **_common(asked, Code.OK if present else Code.NOT_INSTALLED, swap=self._swapped[number]),
            ok=asked.rqst_ok,
            rsvd_device=asked.rqst_rsvd_device,
            hot_spare=asked.rqst_hot_spare,
            cons_chk=asked.rqst_cons_check,
            in_crit_array=asked.rqst_in_crit_array,
            in_failed_array=asked.rqst_in_failed_array,
            rebuild_remap=asked.rqst_rebuild_remap,
            r_r_abort=asked.rqst_r_r_abort,
            do_not_remove=asked.do_not_remove,
            ready_to_insert=asked.rqst_insert,
            rmv=asked.rqst_remove,
            ident=asked.rqst_ident,
            fault_reqstd=asked.rqst_fault,
            device_off=asked.device_off,
            bypassed_a=asked.enable_byp_a,
            bypassed_b=asked.enable_byp_b,
        )

    def _sensor(self, number: int, asked: elements.TemperatureSensorControl) -> elements.Status:
        limits, now = self.thresholds[number], self._temperature
        too_hot, too_cold = now >= limits.high_critical_threshold, now <= limits.low_critical_threshold
        hot, cold = now >= limits.high_warning_threshold, now <= limits.low_warning_threshold
        code = Code.CRITICAL if too_hot or too_cold else Code.NONCRITICAL if hot or cold else Code.OK
        return elements.TemperatureSensorStatus(
            **_common(asked, code),
            ident=asked.rqst_ident,
            fail=asked.rqst_fail,
            temperature=now,
            rqst_override=asked.rqst_override,
            ot_failure=too_hot,
            ot_warning=hot,
            ut_failure=too_cold,
            ut_warning=cold,
        )


def worst(statuses: list[elements.Status]) -> int:
    """Return the status code of an overall element."""
    codes = {one.element_status_code for one in statuses}
    return next((code for code in _WORST if code in codes), Code.UNSUPPORTED)


def _common(asked: elements.Control, code: int, *, swap: bool = False) -> dict[str, Any]:
    return {
        "prdfail": asked.prdfail,
        "disabled": asked.disable,
        "swap": swap,
        "element_status_code": code,
    }


def _power_supply(asked: elements.PowerSupplyControl) -> elements.Status:
    return elements.PowerSupplyStatus(
        **_common(asked, Code.NONCRITICAL if asked.rqst_fail else Code.OK),
        ident=asked.rqst_ident,
        hot_swap=True,
        fail=asked.rqst_fail,
        rqsted_on=asked.rqst_on,
        off=not asked.rqst_on,
    )


def _cooling(asked: elements.CoolingControl) -> elements.Status:
    speed = asked.requested_speed_code if asked.rqst_on else 0
    return elements.CoolingStatus(
        **_common(asked, Code.NONCRITICAL if asked.rqst_fail else Code.OK),
        ident=asked.rqst_ident,
        actual_fan_speed=speed * _RPM_10,
        hot_swap=True,
        fail=asked.rqst_fail,
        rqsted_on=asked.rqst_on,
        off=not asked.rqst_on,
        actual_speed_code=speed,
    )


def _enclosure(asked: elements.EnclosureControl) -> elements.Status:
    return elements.EnclosureStatus(
        **_common(asked, Code.OK),
        ident=asked.rqst_ident,
        failure_indication=asked.request_failure,
        warning_indication=asked.request_warning,
        failure_requested=asked.request_failure,
        warning_requested=asked.request_warning,
    )


_AT_FIRST: dict[ElementType, elements.Control] = {
    ElementType.ARRAY_DEVICE_SLOT: elements.ArrayDeviceSlotControl(),
    ElementType.POWER_SUPPLY: elements.PowerSupplyControl(rqst_on=True),
    ElementType.COOLING: elements.CoolingControl(rqst_on=True, requested_speed_code=3),
    ElementType.TEMPERATURE_SENSOR: elements.TemperatureSensorControl(),
    ElementType.ENCLOSURE: elements.EnclosureControl(),
}
