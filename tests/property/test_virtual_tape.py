"""A virtual tape, in memory and in a file, against a list."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock
from midlayer.upper.sg import execute

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 60)),
        st.tuples(st.just("mark"), st.integers(1, 3)),
        st.tuples(st.just("read"), st.just(64)),
        st.tuples(st.just("blocks"), st.integers(-6, 6)),
        st.tuples(st.just("marks"), st.integers(-3, 3)),
        st.tuples(st.just("locate"), st.integers(0, 25)),
        st.tuples(st.just("erase"), st.just(0)),
        st.tuples(st.just("end"), st.just(0)),
    ),
    max_size=40,
)


class Model:
    """A list of blocks, with None for a filemark, and a position; it walks one object at a time."""

    def __init__(self) -> None:
        self.objects: list[bytes | None] = []
        self.at = 0

    def put(self, item: bytes | None) -> None:
        self.objects[self.at :] = [item]
        self.at += 1

    def walk(self, count: int, *, marks: bool) -> str:
        """SPACE over blocks, or over filemarks; return the sense code that it ends with, and what is left."""
        step, left = (1 if count > 0 else -1), abs(count)
        while left:
            index = self.at if step > 0 else self.at - 1
            if index < 0:
                return f"0/00/04 {left}"
            if index == len(self.objects):
                return f"8/00/05 {left}"
            self.at += step
            is_mark = self.objects[index] is None
            if is_mark and not marks:
                return f"0/00/01 {left}"
            left -= is_mark or not marks
        return ""

    def read(self, room: int) -> tuple[bytes, str]:
        if self.at == len(self.objects):
            return b"", f"8/00/05 {room}"
        item = self.objects[self.at]
        self.at += 1
        if item is None:
            return b"", f"0/00/01 {room}"
        return item, f"0/00/00 {room - len(item)}"

    def locate(self, index: int) -> str:
        self.at = min(index, len(self.objects))
        return "8/00/05 None" if index > self.at else ""


def step(device: LogicalUnit, model: Model, what: str, number: int, serial: int) -> None:
    """Do one thing to both, and compare what comes of it."""
    count = (number & 0xFFFFFF).to_bytes(3, "big")
    data, expected, said = b"", b"", ""
    match what:
        case "write":
            expected = bytes((serial & 0xFF,)) * number
            model.put(expected)
            result = execute(device, b"\x0a\0" + count + b"\0", data_out=expected)
            expected = b""
        case "mark":
            for _ in range(number):
                model.put(None)
            result = execute(device, b"\x10\0" + count + b"\0")
        case "read":
            expected, said = model.read(number)
            result = execute(device, b"\x08\0" + count + b"\0", data_in=number)
            data = bytes(result.data)
        case "blocks" | "marks":
            said = model.walk(number, marks=what == "marks")
            result = execute(device, bytes((0x11, what == "marks")) + count + b"\0")
        case "locate":
            said = model.locate(number)
            result = execute(device, b"\x2b\0\0" + number.to_bytes(4, "big") + bytes(3))
        case "erase":
            del model.objects[model.at :]
            result = execute(device, b"\x19\1\0\0\0\0")
        case _:
            model.at = len(model.objects)
            result = execute(device, b"\x11\3\0\0\0\0")
    found = f"{result.sense.code} {result.sense.information}" if result.sense else ""
    assert (found, data) == (said, expected), what
    place = bytes(execute(device, b"\x34" + bytes(9), data_in=20).data)
    assert int.from_bytes(place[4:8], "big") == model.at, what


@pytest.mark.parametrize("kept", ["memory", "file"])
def test_the_tape_is_a_list(tmp_path: Path, kept: str) -> None:
    driver = VirtualDriver(Subsystem(clock=FakeClock()))
    path = tmp_path / "tape.tap"
    spec = UnitSpec(type=1, size=1 << 20, file=path if kept == "file" else None)

    @settings(max_examples=100)
    @given(steps=STEPS)
    def run(steps: list[tuple[str, int]]) -> None:
        path.unlink(missing_ok=True)
        host = driver.add_host(HostSpec(units=(spec,)))
        model = Model()
        for serial, (what, number) in enumerate(steps):
            step(host.devices()[0], model, what, number, serial)
        driver.remove_host(host)
        if kept == "file":  # what is there now is what comes back
            host = driver.add_host(HostSpec(units=(spec,)))
            model.at = 0
            for serial in range(len(model.objects) + 1):
                step(host.devices()[0], model, "read", 64, serial)
            driver.remove_host(host)

    run()
