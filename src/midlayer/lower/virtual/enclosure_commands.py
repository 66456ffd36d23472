"""SEND DIAGNOSTIC and RECEIVE DIAGNOSTIC RESULTS of an enclosure (SES-3)."""

from __future__ import annotations

from collections.abc import Callable

from midlayer.lower.virtual import diagnostics
from midlayer.lower.virtual.answers import (
    fields,
    illegal_request,
    invalid_field,
    invalid_parameter,
    parameter_list_length_error,
    received,
    send,
)
from midlayer.lower.virtual.enclosure import Enclosure, worst
from midlayer.lower.virtual.unit import Handler, VirtualUnit
from midlayer.mid.command import Command
from midlayer.standards import diagnostic, ses
from midlayer.standards import ses_elements as elements
from midlayer.standards.opcodes import Opcode
from midlayer.standards.ses import Page
from midlayer.standards.ses_elements import ElementStatusCode as Code
from midlayer.standards.ses_elements import ElementType

GENERATION = 0
"""The generation code: what an enclosure is made of does not change while it is there."""

_SAS = 6
_INDEX_WITH_OVERALL = 1
_SAS_END_DEVICE = 1
_OF_SES = range(0x01, 0x30)


def receive_diagnostic(unit: VirtualUnit, command: Command) -> None:
    """RECEIVE DIAGNOSTIC RESULTS: the page that is asked for, or the list of pages without PCV."""
    cdb = fields(diagnostic.ReceiveDiagnosticResults, command)
    code = cdb.page_code if cdb.pcv else Page.SUPPORTED
    make = _PAGES.get(code)
    if make is None:
        raise illegal_request(0x35, 0x01) if code in _OF_SES else invalid_field(2)
    with unit.enclosure.lock:
        data = make(unit, unit.enclosure)
    send(command, data, cdb.allocation_length)


def send_diagnostic(unit: VirtualUnit, command: Command) -> None:
    """SEND DIAGNOSTIC: the control page or the thresholds; without a page it is a self-test."""
    cdb = fields(diagnostic.SendDiagnostic, command)
    if not cdb.parameter_list_length:
        diagnostics.send_diagnostic(unit, command)
        return
    if not cdb.pf or cdb.selftest or cdb.self_test_code:
        raise invalid_field(1, 4)
    data = bytes(received(command, cdb.parameter_list_length))
    if len(data) < ses.ControlHead.size:
        raise parameter_list_length_error()
    head = ses.ControlHead.decode(data)
    take = {Page.STATUS: _take_controls, Page.THRESHOLD: _take_thresholds}.get(head.page_code)
    if take is None:
        raise illegal_request(0x35, 0x01) if head.page_code in _OF_SES else invalid_parameter(0)
    enclosure = unit.enclosure
    whole = ses.ControlHead.size + ses.ELEMENT_BYTES * len(_places(enclosure))
    if head.page_length + 4 != whole:
        raise invalid_parameter(2)
    if len(data) < whole:
        raise parameter_list_length_error()
    if head.expected_generation_code != GENERATION:
        raise invalid_parameter(4)
    with enclosure.lock:
        take(enclosure, data)


def _places(enclosure: Enclosure) -> list[tuple[int, int | None]]:
    """Return group and number of each element in the order of the pages; None is an overall element."""
    return [
        (index, number)
        for index, group in enumerate(enclosure.groups)
        for number in (None, *range(group.count))
    ]


def _take_controls(enclosure: Enclosure, data: bytes) -> None:
    wanted: dict[tuple[int, int], elements.Control] = {}
    for order, (index, number) in enumerate(_places(enclosure)):
        at = ses.ControlHead.size + order * ses.ELEMENT_BYTES
        group = enclosure.groups[index]
        one = _CONTROLS[group.kind].decode(data[at : at + ses.ELEMENT_BYTES])
        if not one.select:
            continue
        if isinstance(one, elements.EnclosureControl) and one.power_cycle_request:
            raise invalid_parameter(at + 2, 7)
        # An overall element comes first, and one with SELECT of its own has the last word.
        numbers = range(group.count) if number is None else (number,)
        wanted |= {(index, each): one for each in numbers}
    # Initiators change the status page and send it back: what it shows by itself they have not asked for.
    enclosure.flags = data[1] & 0x0F & ~_conditions(enclosure)
    for (index, number), one in wanted.items():
        enclosure.control(index, number, one)


def _take_thresholds(enclosure: Enclosure, data: bytes) -> None:
    sensors = len(enclosure.thresholds)
    for order, (index, number) in enumerate(_places(enclosure)):
        at = ses.ControlHead.size + order * ses.ELEMENT_BYTES
        given = data[at : at + ses.ELEMENT_BYTES]
        if enclosure.groups[index].kind == ElementType.TEMPERATURE_SENSOR and any(given):
            for each in range(sensors) if number is None else (number,):
                enclosure.thresholds[each] = elements.ThresholdElement.decode(given)


def _supported(unit: VirtualUnit, enclosure: Enclosure) -> bytes:
    return diagnostic.supported_pages(sorted(_PAGES))


def _configuration(unit: VirtualUnit, enclosure: Enclosure) -> bytes:
    spec = unit.spec
    descriptor = ses.EnclosureDescriptor(
        relative_enclosure_services_process_identifier=1,
        number_of_enclosure_services_processes=1,
        enclosure_logical_identifier=_address(spec.naa),
        enclosure_vendor_identification=spec.vendor,
        product_identification=spec.product,
        product_revision_level=spec.revision,
    )
    types = [(group.kind, group.count, group.text) for group in enclosure.groups]
    return ses.encode_configuration(GENERATION, descriptor, types)


def _status(unit: VirtualUnit, enclosure: Enclosure) -> bytes:
    body = b""
    for statuses in enclosure.statuses():
        body += elements.Status(element_status_code=worst(statuses)).encode()
        body += b"".join(one.encode() for one in statuses)
    return ses.encode_page(Page.STATUS, GENERATION, body, enclosure.flags | _conditions(enclosure))


def _conditions(enclosure: Enclosure) -> int:
    """Return NON-CRIT and CRIT as the elements make them."""
    codes = {one.element_status_code for statuses in enclosure.statuses() for one in statuses}
    return (Code.NONCRITICAL in codes) << 2 | (Code.CRITICAL in codes) << 1


def _thresholds(unit: VirtualUnit, enclosure: Enclosure) -> bytes:
    body = b""
    for index, number in _places(enclosure):
        sensor = enclosure.groups[index].kind == ElementType.TEMPERATURE_SENSOR and number is not None
        body += enclosure.thresholds[number].encode() if sensor and number is not None else bytes(4)
    return ses.encode_page(Page.THRESHOLD, GENERATION, body)


def _descriptors(unit: VirtualUnit, enclosure: Enclosure) -> bytes:
    texts = (
        "" if number is None else f"{enclosure.groups[index].name} {number + 1:02d}"
        for index, number in _places(enclosure)
    )
    return ses.encode_descriptors(GENERATION, texts)


def _additional(unit: VirtualUnit, enclosure: Enclosure) -> bytes:
    """Return page 0Ah: the SAS address, which is the NAA designator, of what is in each slot."""
    body = b""
    for slot in range(unit.spec.slots):
        occupant = unit.occupant(slot)
        head = ses.SasSlot(number_of_phy_descriptors=1, not_all_phys=True, device_slot_number=slot)
        information = head.encode()
        if occupant is None:
            information += ses.PhyDescriptor().encode()
        else:
            information += ses.PhyDescriptor(
                device_type=_SAS_END_DEVICE,
                ssp_target_port=True,
                attached_sas_address=_address(unit.spec.naa),
                sas_address=_address(occupant.spec.naa),
            ).encode()
        descriptor = ses.AdditionalHead(
            invalid=occupant is None,
            eip=True,
            protocol_identifier=_SAS,
            additional_element_status_descriptor_length=2 + len(information),
            eiioe=_INDEX_WITH_OVERALL,
            element_index=slot + 1,
        )
        body += descriptor.encode() + information
    return ses.encode_page(Page.ADDITIONAL_ELEMENT_STATUS, GENERATION, body)


def _address(naa: str) -> int:
    return int(naa[:16], 16)


_PAGES: dict[int, Callable[[VirtualUnit, Enclosure], bytes]] = {
    Page.SUPPORTED: _supported,
    Page.CONFIGURATION: _configuration,
    Page.STATUS: _status,
    Page.THRESHOLD: _thresholds,
    Page.ELEMENT_DESCRIPTOR: _descriptors,
    Page.ADDITIONAL_ELEMENT_STATUS: _additional,
}

_CONTROLS: dict[ElementType, type[elements.Control]] = {
    ElementType.ARRAY_DEVICE_SLOT: elements.ArrayDeviceSlotControl,
    ElementType.POWER_SUPPLY: elements.PowerSupplyControl,
    ElementType.COOLING: elements.CoolingControl,
    ElementType.TEMPERATURE_SENSOR: elements.TemperatureSensorControl,
    ElementType.ENCLOSURE: elements.EnclosureControl,
}

ENCLOSURE_TABLE: dict[int, Handler] = {
    Opcode.SEND_DIAGNOSTIC: send_diagnostic,
    Opcode.RECEIVE_DIAGNOSTIC_RESULTS: receive_diagnostic,
}
