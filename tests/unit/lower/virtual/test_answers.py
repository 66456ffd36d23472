"""Sense data of a refusal, in both formats."""

from __future__ import annotations

import pytest

from midlayer.lower.virtual.answers import CheckCondition, invalid_field
from midlayer.standards.sense import FieldPointer, Sense, SenseKey


@pytest.mark.parametrize("descriptor", [False, True])
def test_both_formats_say_the_same(descriptor: bool) -> None:
    sense = Sense.decode(invalid_field(2, 5).sense_data(descriptor=descriptor))
    assert sense is not None
    assert (sense.code, sense.descriptor_format) == ("5/24/00", descriptor)
    assert sense.field_pointer == FieldPointer(True, 2, 5)


def test_an_offset_that_does_not_fit_is_left_out_of_fixed_format() -> None:
    refusal = CheckCondition(SenseKey.MISCOMPARE, 0x1D, information=1 << 32)
    fixed, long = Sense.decode(refusal.sense_data()), Sense.decode(refusal.sense_data(descriptor=True))
    assert fixed is not None
    assert long is not None
    assert (fixed.code, fixed.information, long.information) == ("e/1d/00", None, 1 << 32)
