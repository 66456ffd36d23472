"""Results: what counts as a success, which error fits, and what survives pickling."""

from __future__ import annotations

import pickle

import pytest

from midlayer import errors
from midlayer.address import Address
from midlayer.errors import CommandError
from midlayer.mid.command import HostByte, Result
from midlayer.standards.sam import Status
from midlayer.standards.sense import fixed_sense

READ = bytes.fromhex("28000000100000000800")


def result(status: int = 0, host_byte: int = 0, sense: bytes = b"") -> Result:
    return Result(status, host_byte, 8 if sense else 0, sense, 0, 0.001, None, Address(2, 0, 1, 0), READ)


def sensed(key: int, asc: int = 0, ascq: int = 0) -> Result:
    return result(Status.CHECK_CONDITION, sense=fixed_sense(key, asc, ascq))


@pytest.mark.parametrize(
    "good",
    [result(), result(Status.CONDITION_MET), sensed(0), sensed(1, 0x17, 0x01)],
    ids=lambda good: good.outcome,
)
def test_what_counts_as_a_success(good: Result) -> None:
    assert good.ok
    assert good.raise_for_status() is good


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (result(host_byte=HostByte.DID_NO_CONNECT), errors.NoConnect),
        (result(host_byte=HostByte.DID_BAD_TARGET), errors.NoConnect),
        (result(host_byte=HostByte.DID_TIME_OUT), errors.TimedOut),
        (result(host_byte=HostByte.DID_ABORT), errors.Aborted),
        (result(host_byte=HostByte.DID_RESET), errors.TransportError),
        (result(host_byte=0x55), errors.HostError),
        (result(Status.BUSY), errors.Busy),
        (result(Status.TASK_SET_FULL), errors.TaskSetFull),
        (result(Status.RESERVATION_CONFLICT), errors.ReservationConflict),
        (result(Status.TASK_ABORTED), errors.TaskAborted),
        (result(Status.ACA_ACTIVE), errors.StatusError),
        (result(0x99), errors.StatusError),
        (result(Status.CHECK_CONDITION), errors.StatusError),
        (sensed(2, 0x04, 0x01), errors.NotReady),
        (sensed(2, 0x3A), errors.MediumNotPresent),
        (sensed(3, 0x11), errors.MediumError),
        (sensed(4, 0x44), errors.HardwareError),
        (sensed(5, 0x20), errors.InvalidOpcode),
        (sensed(5, 0x21), errors.LbaOutOfRange),
        (sensed(5, 0x24), errors.InvalidFieldInCdb),
        (sensed(5, 0x25), errors.LogicalUnitNotSupported),
        (sensed(5, 0x26, 0x02), errors.InvalidFieldInParameterList),
        (sensed(5, 0x39), errors.IllegalRequest),
        (sensed(6, 0x29), errors.UnitAttention),
        (sensed(7, 0x27), errors.DataProtect),
        (sensed(8), errors.BlankCheck),
        (sensed(0xA), errors.CopyAborted),
        (sensed(0xB, 0x47), errors.AbortedCommand),
        (sensed(0xE, 0x1D), errors.Miscompare),
        (sensed(0xD), errors.SenseError),
    ],
    ids=lambda value: value.outcome if isinstance(value, Result) else value.__name__,
)
def test_the_most_specific_error_is_raised(bad: Result, kind: type[CommandError]) -> None:
    assert not bad.ok
    with pytest.raises(CommandError) as caught:
        bad.raise_for_status()
    assert type(caught.value) is kind
    assert caught.value.result is bad


def test_an_error_says_what_where_and_why() -> None:
    text = str(errors.CommandError.from_result(sensed(3, 0x11)))
    assert text == "2:0:1:0 READ(10) lba=4096 blocks=8: MEDIUM ERROR, unrecovered read error (3/11/00)"


def test_a_result_survives_pickling_with_its_data() -> None:
    before = result()._replace(data_in=memoryview(bytearray(b"12345678")), residual=3)
    after = pickle.loads(pickle.dumps(before))
    assert bytes(after.data) == b"12345"
    assert after._replace(data_in=None) == before._replace(data_in=None)
    assert pickle.loads(pickle.dumps(CommandError(before))).result.address == before.address
