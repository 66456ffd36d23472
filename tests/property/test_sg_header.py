"""Whatever a caller writes or points at, only the documented errnos come back, and sg goes on working."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midlayer.mid.subsystem import Subsystem
from midlayer.testing import Answer, FakeClock, ScriptedDriver
from midlayer.upper.sg.device import SgNodes
from midlayer.upper.sg.ioctls import BSG_TABLE, TABLE
from midlayer.upper.sg.parameters import Caller

BASE, SIZE = 0x10000, 0x4000
DOCUMENTED = {
    errno.EACCES, errno.EAGAIN, errno.EBUSY, errno.EDOM, errno.EFAULT, errno.EINVAL, errno.EIO,
    errno.EMSGSIZE,
    errno.ENODEV, errno.ENOMEM, errno.ENOSYS, errno.ENOTTY, errno.ENXIO, errno.EOPNOTSUPP, errno.EPERM,
}  # fmt: skip
O_RDWR, O_NONBLOCK = 2, 0o4000

lengths = st.sampled_from(
    [0, 1, 5, 36, 96, 511, 512, 32768, 32769, (1 << 28) - 1, 1 << 28, 1 << 31, (1 << 32) - 1]
)
addresses = st.one_of(
    st.sampled_from(
        [0, 1, BASE, BASE + SIZE - 1, BASE + SIZE, 1 << 47, 1 << 63, (1 << 64) - 1, (1 << 64) - 8]
    ),
    st.integers(BASE, BASE + SIZE),
    st.integers(0, (1 << 64) - 1),
)


class Arena:
    """Memory in which a few pages are mapped and everything else is wild."""

    def __init__(self, *, views: bool) -> None:
        self.bytes = bytearray(SIZE)
        self.views = views

    def _at(self, address: int, length: int) -> int:
        if address < BASE or address + length > BASE + SIZE:
            raise OSError(errno.EFAULT, "wild")
        return address - BASE

    def read(self, address: int, length: int) -> bytes:
        at = self._at(address, length)
        return bytes(self.bytes[at : at + length])

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        at = self._at(address, len(data))
        self.bytes[at : at + len(data)] = data

    def view(self, address: int, length: int, *, writable: bool) -> memoryview | None:
        at = self._at(address, length)
        return memoryview(self.bytes)[at : at + length] if self.views else None


@pytest.fixture(scope="module")
def node() -> SgNodes:
    driver, nodes = ScriptedDriver(), SgNodes()
    unit = driver.unit(0, 0, 0)
    subsystem = Subsystem(clock=FakeClock())
    subsystem.register_upper(nodes)
    driver.start(subsystem)
    unit.on(None, Answer(data=b"some data"), Answer.check(5, 0x20), Answer(host_byte=3), Answer())
    return nodes


def allowed(call: Callable[[], object]) -> None:
    number = None
    try:
        call()
    except OSError as error:
        number = error.errno
    assert number is None or number in DOCUMENTED, errno.errorcode.get(number, number)


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """Return a header of which most members make sense, so that every check is reached."""
    return struct.pack(
        "=iiBBHIQQQIIi4xQ24x",
        draw(st.sampled_from([83, 83, 83, 83, 81, 0, -1])),
        draw(st.sampled_from([-1, -2, -3, -4, -5, -9, 1])),
        draw(st.sampled_from([0, 5, 6, 10, 16, 32, 33, 252, 253, 255])),
        draw(st.integers(0, 255)),
        draw(st.sampled_from([0, 0, 0, 1, 2, 1024, 1025, 65535])),
        draw(lengths),
        draw(addresses),
        draw(addresses),
        draw(addresses),
        draw(st.sampled_from([0, 1, 20000, (1 << 32) - 1])),
        draw(st.integers(0, (1 << 32) - 1)),
        draw(st.integers(-(1 << 31), (1 << 31) - 1)),
        draw(st.integers(0, (1 << 64) - 1)),
    )


fuzz = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
both = pytest.mark.parametrize("views", [False, True], ids=["copies", "views"])


@both
@fuzz
@given(
    header=headers(),
    vector=st.lists(st.tuples(addresses, st.one_of(lengths, addresses)), max_size=4),
    dio=st.booleans(),
)
def test_sg_io_header(
    node: SgNodes, views: bool, header: bytes, vector: list[tuple[int, int]], dio: bool
) -> None:
    memory = Arena(views=views)
    for index, piece in enumerate(vector):
        struct.pack_into("=QQ", memory.bytes, 16 * index, *piece)
    memory.bytes[SIZE - 88 :] = header
    node.parameters.allow_dio = dio
    file = node.device(0).open(O_RDWR | O_NONBLOCK)
    allowed(lambda: file.ioctl(0x2285, BASE + SIZE - 88, memory))
    allowed(lambda: file.write(header, memory))
    allowed(lambda: file.read(88, bytes(88), memory))
    with node.device(0).lock:
        assert not file.requests, "a request was left behind"
        assert not file.reserve_busy, "the reserved buffer was left behind"
    file.close()


@both
@fuzz
@given(data=st.binary(max_size=200), count=st.sampled_from([0, 1, 35, 36, 37, 87, 88, 500, 1 << 31]))
def test_anything_written(node: SgNodes, views: bool, data: bytes, count: int) -> None:
    memory = Arena(views=views)
    file = node.device(0).open(O_RDWR | O_NONBLOCK)
    allowed(lambda: file.write(data, memory))
    allowed(lambda: file.read(count, data[:count], memory))
    assert not file.requests
    file.close()


@both
@fuzz
@given(
    request=st.one_of(st.sampled_from(sorted({*TABLE, *BSG_TABLE})), st.integers(0, (1 << 32) - 1)),
    argument=addresses,
    content=st.binary(max_size=160),
    bsg=st.booleans(),
    caller=st.builds(Caller, sys_admin=st.booleans(), sys_rawio=st.booleans(), ilp32=st.booleans()),
)
def test_any_ioctl(
    node: SgNodes, views: bool, request: int, argument: int, content: bytes, bsg: bool, caller: Caller
) -> None:
    memory = Arena(views=views)
    memory.bytes[: len(content)] = content
    file = node.device(0).open(O_RDWR | O_NONBLOCK, caller=caller, bsg=bsg)
    allowed(lambda: file.ioctl(request, argument, memory))
    assert not file.requests
    file.close()
    assert not node.device(0).files


@fuzz
@given(
    fields=st.tuples(
        st.sampled_from([81, 81, 81, 83]), st.sampled_from([0, 0, 1]), st.sampled_from([0, 0, 1]),
        st.sampled_from([0, 5, 6, 16, 32, 33, 1 << 31]), addresses, st.just(0), st.just(0), st.just(0),
        st.just(0), lengths, addresses, st.sampled_from([0, 0, 1, 3]), st.sampled_from([0, 0, 16, 1 << 31]),
        st.sampled_from([0, 0, 1, 3]), lengths, addresses, addresses, st.integers(0, (1 << 32) - 1),
        st.integers(0, (1 << 32) - 1), addresses, st.just(0),
    )
)  # fmt: skip
def test_version_4(node: SgNodes, fields: tuple[int, ...]) -> None:
    memory = Arena(views=False)
    struct.pack_into("=iIIIQQIIIIQIIIIQQIIQI", memory.bytes, 0, *fields)
    file = node.device(0).open(O_RDWR, bsg=True)
    allowed(lambda: file.ioctl(0x2285, BASE, memory))
    assert not file.requests
    file.close()
