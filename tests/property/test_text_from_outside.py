"""Whatever text people give: a value, or the one error that is documented for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from midlayer.device_url import parse_device_url
from midlayer.errors import ConfigError, DeviceUrlError
from midlayer.frontends.config import load, parse
from midlayer.frontends.toml_text import find_line

Error = TypeVar("Error", bound=Exception)
KEYS = ["daemon", "log", "host", "unit", "host.unit", "driver", "size", "listen", "keep_events", "lun", "x"]
VALUES = [
    '"virtual"',
    '"linux"',
    "5",
    "-1",
    "true",
    "[]",
    "{}",
    '"1G"',
    "1.5",
    "1979-05-27",
    '"',
    "[[",
    "'x'",
]
LINES = st.one_of(
    st.sampled_from([f"[{key}]" for key in KEYS] + [f"[[{key}]]" for key in KEYS]),
    st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)).map(" = ".join),
    st.text(max_size=20),
)
TOML_LIKE = st.lists(LINES, max_size=12).map("\n".join)
URL_LIKE = st.one_of(
    st.text(),
    st.from_regex(r"(virtual:|iscsi://)[a-z0-9@:/?&=%\[\].²-]*", fullmatch=True),
    st.from_regex(r"[0-9²٣]{0,25}(:[0-9²]{0,25}){3}", fullmatch=True),
    st.from_regex(r"(/dev/)?(sg|sd|st|nst|sr|ch)[a-z0-9٣]*", fullmatch=True),
)


def raised(call: Callable[[], object], kind: type[Error]) -> Error | None:
    """Return the error of this kind that a call raises; any other error is for the test to fail of."""
    try:
        call()
    except kind as error:
        return error
    return None


@given(TOML_LIKE)
def test_a_configuration_is_right_or_a_config_error(text: str) -> None:
    error = raised(lambda: parse(text, file="m.toml"), ConfigError)
    if error is not None:
        assert str(error).startswith("m.toml")
        assert 0 <= error.line <= max(1, len(text.splitlines()) + 1)


@given(st.binary(max_size=200))
def test_a_file_of_any_bytes(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "m.toml"
    file.write_bytes(data)
    error = raised(lambda: load(file), ConfigError)
    assert error is None or str(error).startswith(str(file))


@given(TOML_LIKE, st.lists(st.sampled_from(["host", "unit", "size", 0, 1]), max_size=5))
def test_a_line_is_found_or_not(text: str, place: list[str | int]) -> None:
    assert 0 <= find_line(text, tuple(place)) <= len(text.splitlines())


@given(URL_LIKE)
def test_a_device_is_a_form_or_a_device_url_error(text: str) -> None:
    error = raised(lambda: parse_device_url(text), DeviceUrlError)
    assert error is None or "write " in str(error) or "is given twice" in str(error)
