"""Commands of a medium changer (SMC-3): where cartridges are, and moving them."""

from __future__ import annotations

from collections.abc import Callable

from midlayer.lower.virtual.answers import fields, illegal_request, invalid_field, no_data, send
from midlayer.lower.virtual.changer import TRANSPORT, Changer
from midlayer.lower.virtual.unit import Handler, VirtualUnit
from midlayer.mid.command import Command
from midlayer.standards import smc
from midlayer.standards.opcodes import Opcode
from midlayer.standards.smc import ElementType

_DRIVE_MISSING = (0x3B, 0x1A)


def _on_changer(handler: Callable[[VirtualUnit, Command, Changer], None]) -> Handler:
    """Return the handler of a command that needs the elements for itself."""

    def run(unit: VirtualUnit, command: Command) -> None:
        with unit.changer.lock:
            handler(unit, command, unit.changer)

    return run


def read_element_status(unit: VirtualUnit, command: Command, changer: Changer) -> None:
    """READ ELEMENT STATUS (SMC-3 6.11): as many elements, by type, as are asked for."""
    cdb = fields(smc.ReadElementStatus, command)
    if cdb.element_type_code > ElementType.DATA_TRANSFER:
        raise invalid_field(1, 3)
    kinds = [kind for kind in changer.ranges if cdb.element_type_code in (ElementType.ALL, kind)]
    wanted = [address for address in changer.addresses() if address >= cdb.starting_element_address]
    listed = [address for address in wanted if changer.kind(address) in kinds][: cdb.number_of_elements]
    by_kind: dict[int, list[smc.Element]] = {
        kind: [_element(changer, cdb, kind, address) for address in listed if address in changer.ranges[kind]]
        for kind in kinds
    }
    data = smc.encode_element_status(by_kind, tags=cdb.voltag, devices=cdb.dvcid)
    send(command, data, cdb.allocation_length)


def _element(changer: Changer, cdb: smc.ReadElementStatus, kind: ElementType, address: int) -> smc.Element:
    held = changer.look(address)
    drive = changer.drive(address) if kind == ElementType.DATA_TRANSFER else None
    missing = kind == ElementType.DATA_TRANSFER and drive is None
    asc, ascq = _DRIVE_MISSING if missing else (0, 0)
    mail = kind == ElementType.IMPORT_EXPORT
    status = smc.ElementDescriptor(
        element_address=address,
        inenab=mail,
        exenab=mail,
        access=kind != ElementType.MEDIUM_TRANSPORT and not missing,
        exception=missing,
        full=held is not None,
        additional_sense_code=asc,
        additional_sense_code_qualifier=ascq,
        svalid=held is not None and held.source is not None,
        source_storage_element_address=(held.source or 0) if held is not None else 0,
    )
    tag = smc.VolumeTag(volume_identifier=held.medium.label) if cdb.voltag and held is not None else None
    device = ""
    if cdb.dvcid and drive is not None:
        device = f"{drive.spec.vendor:8}{drive.spec.product:16}{drive.spec.serial}"
    return smc.Element(kind=kind, status=status, tag=tag, device=device)


def initialize_element_status(unit: VirtualUnit, command: Command, changer: Changer) -> None:
    """INITIALIZE ELEMENT STATUS (SMC-3 6.3): the changer always knows what is where."""
    no_data(command)


def initialize_with_range(unit: VirtualUnit, command: Command, changer: Changer) -> None:
    """INITIALIZE ELEMENT STATUS WITH RANGE (SMC-3 6.4)."""
    cdb = fields(smc.InitializeWithRange, command)
    if cdb.range:
        changer.kind(cdb.starting_element_address)
    no_data(command)


def position_to_element(unit: VirtualUnit, command: Command, changer: Changer) -> None:
    """POSITION TO ELEMENT (SMC-3 6.8): nothing here has a way to go."""
    cdb = fields(smc.PositionToElement, command)
    _check_transport(changer, cdb.medium_transport_address)
    if cdb.invert:
        raise invalid_field(8, 0)
    changer.kind(cdb.destination_address)
    no_data(command)


def move_medium(unit: VirtualUnit, command: Command, changer: Changer) -> None:
    """MOVE MEDIUM (SMC-3 6.6)."""
    cdb = fields(smc.MoveMedium, command)
    _check_transport(changer, cdb.medium_transport_address)
    if cdb.invert:
        raise invalid_field(10, 0)
    no_data(command)
    _check_mail_slots(unit, changer, cdb.source_address, cdb.destination_address)
    changer.move(cdb.source_address, cdb.destination_address)


def exchange_medium(unit: VirtualUnit, command: Command, changer: Changer) -> None:
    """EXCHANGE MEDIUM (SMC-3 6.2)."""
    cdb = fields(smc.ExchangeMedium, command)
    _check_transport(changer, cdb.medium_transport_address)
    if cdb.inv1 or cdb.inv2:
        raise invalid_field(10, 1 if cdb.inv1 else 0)
    no_data(command)
    addresses = (cdb.source_address, cdb.first_destination_address, cdb.second_destination_address)
    _check_mail_slots(unit, changer, *addresses)
    changer.exchange(*addresses)


def _check_transport(changer: Changer, address: int) -> None:
    """The only transport element is the default one as well, which is element 0 (SMC-3 6.6)."""
    if address != TRANSPORT:
        raise illegal_request(0x21, 0x01)


def _check_mail_slots(unit: VirtualUnit, changer: Changer, *addresses: int) -> None:
    """PREVENT MEDIUM REMOVAL locks what a person could take a cartridge out of."""
    if unit.prevented and any(changer.kind(one) == ElementType.IMPORT_EXPORT for one in addresses):
        raise illegal_request(0x53, 0x02)


CHANGER_TABLE: dict[int, Handler] = {
    Opcode.INITIALIZE_ELEMENT_STATUS: _on_changer(initialize_element_status),
    Opcode.INITIALIZE_ELEMENT_STATUS_WITH_RANGE: _on_changer(initialize_with_range),
    Opcode.POSITION_TO_ELEMENT: _on_changer(position_to_element),
    Opcode.MOVE_MEDIUM: _on_changer(move_medium),
    Opcode.EXCHANGE_MEDIUM: _on_changer(exchange_medium),
    Opcode.READ_ELEMENT_STATUS: _on_changer(read_element_status),
}
