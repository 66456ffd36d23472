"""Which numbers are covered, missing, late."""

from __future__ import annotations

from midlayer.lower.linux.sequence import Coverage, Sequence


def test_coverage_around_a_look() -> None:
    sequence = Sequence()
    sequence.looked(10, 12)
    assert [sequence.coverage(number) for number in (10, 11, 12, 13)] == [
        Coverage.COVERED,
        Coverage.AMBIGUOUS,
        Coverage.AMBIGUOUS,
        Coverage.NEW,
    ]


def test_numbers_in_order_are_complete() -> None:
    sequence = Sequence()
    sequence.looked(10, 10)
    assert [sequence.note(number) for number in (9, 10, 11, 12)] == [False] * 4
    assert not sequence.incomplete


def test_a_gap_is_incomplete_until_the_next_look() -> None:
    sequence = Sequence()
    sequence.looked(10, 10)
    assert sequence.note(13)
    assert sequence.incomplete
    sequence.looked(13, 13)
    assert not sequence.incomplete


def test_the_first_number_after_a_look_may_be_missing() -> None:
    sequence = Sequence()
    sequence.looked(10, 12)
    assert sequence.note(12)


def test_a_late_number_closes_its_gap() -> None:
    sequence = Sequence()
    sequence.looked(10, 10)
    assert sequence.note(12)
    assert not sequence.note(11)
    assert not sequence.incomplete
    assert not sequence.note(13)


def test_without_a_number_to_begin_with_any_may_come() -> None:
    sequence = Sequence()
    sequence.looked(0, 0)
    assert not sequence.note(5000)
    assert sequence.note(5002)


def test_a_huge_gap_takes_no_memory() -> None:
    sequence = Sequence()
    sequence.looked(10, 10)
    assert sequence.note(1 << 62)
    assert sequence.incomplete
