"""Exit statuses, against the table of sg3_utils(8) (section 3.2 of the facts)."""

from __future__ import annotations

import errno

import pytest

from midlayer import errors
from midlayer.address import Address
from midlayer.frontends.exit_status import of_error, of_result
from midlayer.mid.command import Result
from midlayer.standards.sense import descriptor_sense, fixed_sense

OF_SENSE = {
    (0x0, 0x00, 0x00): 20,
    (0x1, 0x17, 0x00): 21,
    (0x2, 0x3A, 0x00): 2,
    (0x2, 0x04, 0x00): 2,
    (0x2, 0x04, 0x01): 2,
    (0x2, 0x04, 0x04): 16,
    (0x2, 0x04, 0x07): 16,
    (0x2, 0x04, 0x0B): 12,
    (0x2, 0x04, 0x0C): 13,
    (0x3, 0x11, 0x00): 3,
    (0x4, 0x44, 0x00): 3,
    (0x5, 0x24, 0x00): 5,
    (0x5, 0x25, 0x00): 5,
    (0x5, 0x20, 0x00): 9,
    (0x5, 0x21, 0x00): 22,
    (0x5, 0x26, 0x00): 19,
    (0x6, 0x29, 0x00): 6,
    (0x7, 0x27, 0x00): 7,
    (0x8, 0x00, 0x05): 3,
    (0x9, 0x00, 0x00): 98,
    (0xA, 0x00, 0x00): 10,
    (0xB, 0x00, 0x00): 11,
    (0xB, 0x10, 0x01): 40,
    (0xC, 0x00, 0x00): 98,
    (0xD, 0x00, 0x00): 98,
    (0xE, 0x1D, 0x00): 14,
    (0xF, 0x00, 0x00): 98,
}
OF_SENSE_WITH_INFORMATION = {(0x3, 0x11, 0x00): 18, (0x5, 0x24, 0x00): 17, (0xB, 0x10, 0x01): 41}
OF_STATUS = {0x00: 0, 0x04: 25, 0x08: 26, 0x18: 24, 0x28: 27, 0x30: 28, 0x40: 29, 0x22: 99}
OF_HOST_BYTE = {0x01: 35, 0x03: 33, 0x05: 35, 0x07: 35, 0x0E: 35}


def result(*, status: int = 0, host_byte: int = 0, sense: bytes = b"") -> Result:
    return Result(status, host_byte, 0, sense, 0, 0.0, None, Address(0, 0, 0, 0), bytes(6))


@pytest.mark.parametrize("code", OF_SENSE)
@pytest.mark.parametrize("encode", [fixed_sense, descriptor_sense])
def test_of_sense(code: tuple[int, int, int], encode: type) -> None:
    assert of_result(result(status=2, sense=encode(*code))) == OF_SENSE[code]


@pytest.mark.parametrize("code", OF_SENSE_WITH_INFORMATION)
def test_of_sense_with_information(code: tuple[int, int, int]) -> None:
    sense = fixed_sense(*code, information=0x1234)
    assert of_result(result(status=2, sense=sense)) == OF_SENSE_WITH_INFORMATION[code]


def test_check_condition_without_sense() -> None:
    assert of_result(result(status=2)) == 98
    assert of_result(result(status=2, sense=b"\x7f\x00")) == 98


@pytest.mark.parametrize("status", OF_STATUS)
def test_of_status(status: int) -> None:
    assert of_result(result(status=status)) == OF_STATUS[status]


@pytest.mark.parametrize("host_byte", OF_HOST_BYTE)
def test_the_host_byte_has_the_first_word(host_byte: int) -> None:
    sense = fixed_sense(0x3, 0x11)
    assert of_result(result(status=2, host_byte=host_byte, sense=sense)) == OF_HOST_BYTE[host_byte]


def node_error(number: int) -> errors.NodeError:
    error = errors.NodeError("/dev/sg0: text")
    error.errno = number
    return error


OF_ERROR = [
    (errors.UsageError("x"), 1),
    (errors.DeviceUrlError("x"), 1),
    (errors.AddressError("x"), 1),
    (errors.ConfigError("x"), 1),
    (errors.InvalidRequest("x"), 1),
    (errors.NoSuchDevice("x"), 15),
    (errors.NoSuchHost("x"), 15),
    (errors.DeviceInUse("x"), 15),
    (errors.StateError("x"), 15),
    (errors.EventLogLocked("x"), 15),
    (errors.EventLogBehind("x"), 50 + errno.ENOSPC),
    (errors.DaemonError("x"), 15),
    (errors.DaemonError("x", exit_status=6), 6),
    (node_error(errno.ENOENT), 52),
    (node_error(errno.EACCES), 63),
    (node_error(errno.ENODEV), 69),
    (node_error(errno.ETIMEDOUT), 15),
    (errors.NodeError("x"), 15),
    (errors.MidlayerError("x"), 99),
]


@pytest.mark.parametrize(("error", "status"), OF_ERROR, ids=repr)
def test_of_error(error: errors.MidlayerError, status: int) -> None:
    assert of_error(error) == status
