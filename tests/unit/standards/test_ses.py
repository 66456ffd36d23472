"""Pages of an enclosure that sg_ses of sg3_utils 1.46 has judged (`tests/peers/test_exec_enclosure.py`)."""

from __future__ import annotations

import pytest

from midlayer.layout import DecodeError
from midlayer.standards import ses
from midlayer.standards import ses_elements as elements

# SES-3 6.1.2: one enclosure, one slot, one sensor; then pages 02h, 07h and 0Ah that go with it.
CONFIGURATION = bytes.fromhex(
    "01 00 00 39 00 00 00 07"
    "11 00 02 24 50 00 00 00 00 00 0e 00 41 43 4d 45 20 20 20 20"
    "53 68 65 6c 66 20 20 20 20 20 20 20 20 20 20 20 30 30 30 31"
    "17 01 00 04 04 01 00 01 42 61 79 73 54"
)
STATUS = bytes.fromhex("02 04 00 14 00 00 00 07 01 00 00 00 11 80 02 20 03 00 00 00 03 00 46 04")
DESCRIPTORS = bytes.fromhex("07 00 00 12 00 00 00 07 00 00 00 00 00 00 00 02 41 31 00 00 00 00 00 00")
ADDITIONAL = bytes.fromhex(
    "0a 00 00 28 00 00 00 07 16 22 01 01 01 01 00 05"
    "10 00 00 08 50 00 00 00 00 00 0e 00 50 00 00 00 00 00 00 d1 00 00 00 00 00 00 00 00"
)


def test_configuration_and_what_follows_its_order() -> None:
    configuration = ses.decode_configuration(CONFIGURATION)
    assert configuration.generation_code == 7
    (enclosure,) = configuration.enclosures
    assert (enclosure.enclosure_logical_identifier, enclosure.product_identification) == (
        0x5000000000000E00,
        "Shelf",
    )
    assert [(one.element_type, one.number_of_possible_elements) for one in configuration.types] == [
        (23, 1),
        (4, 1),
    ]
    assert configuration.texts == ("Bays", "T")
    found = ses.decode_elements(STATUS, 2, configuration)
    slot = elements.ArrayDeviceSlotStatus.decode(found[0, 0])
    assert (slot.swap, slot.ok, slot.ident, slot.fault_reqstd, slot.device_off) == (
        True,
        True,
        True,
        True,
        False,
    )
    sensor = elements.TemperatureSensorStatus.decode(found[1, 0])
    assert (sensor.temperature - elements.TEMPERATURE_OFFSET, sensor.ot_warning) == (50, True)
    assert ses.StatusHead.decode(STATUS).non_crit
    assert ses.decode_descriptors(DESCRIPTORS) == ["", "A1", ""]


def test_additional_element_status() -> None:
    ((head, slot, phys),) = ses.decode_additional(ADDITIONAL)
    assert (head.element_index, head.protocol_identifier, head.eiioe) == (1, 6, 1)
    assert slot is not None
    assert slot.device_slot_number == 5
    assert (phys[0].sas_address, phys[0].ssp_target_port) == (0x50000000000000D1, True)


@pytest.mark.parametrize("end", range(len(CONFIGURATION)))
def test_a_configuration_that_is_cut_short(end: int) -> None:
    if end < 56:
        with pytest.raises(DecodeError):
            ses.decode_configuration(CONFIGURATION[:end])
    else:
        assert len(ses.decode_configuration(CONFIGURATION[:end]).texts) == (end >= 60)


def test_pages_that_are_cut_short_keep_what_is_whole() -> None:
    configuration = ses.decode_configuration(CONFIGURATION)
    assert list(ses.decode_elements(STATUS[:19], 2, configuration)) == [(0, None), (0, 0)]
    assert ses.decode_descriptors(DESCRIPTORS[:17]) == [""]
    assert ses.decode_additional(ADDITIONAL[:40]) == []
    for decode in (ses.decode_descriptors, ses.decode_additional, ses.decode_configuration):
        with pytest.raises(DecodeError):
            decode(STATUS)
