"""The tables of keys in the documents are those of the code: none is missing, and defaults are true."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from midlayer.lower.iscsi.spec import SessionSpec
from midlayer.lower.virtual.spec import HostSpec, UnitSpec

from .pages import ROOT

_ROW = re.compile(r"^\| (`[^|]+`) \| ([^|]*) \|", re.MULTILINE)
_VALUE = re.compile(r'(-?\d+)|(true|false)|`?"([^"`]*)"`?')


def rows(page: str, section: str) -> dict[str, str]:
    """Return the keys of a section's tables, each with its default as the page has it."""
    text = (ROOT / "docs" / page).read_text()
    part = text.split(section, 1)[1].split("\n## ", 1)[0]
    return {key: said for keys, said in _ROW.findall(part) for key in re.findall(r"`(\w+)`", keys)}


TABLES = [
    ("configuration.md", "\n## [[host.unit]]\n", UnitSpec, set()),
    ("configuration.md", "\n## [[host]]\n", HostSpec, {"units"}),
    ("initiator.md", 'driver = "iscsi"', SessionSpec, set()),
]


@pytest.mark.parametrize(("page", "section", "spec", "inner"), TABLES, ids=lambda value: str(value)[:24])
def test_keys(page: str, section: str, spec: Any, inner: set[str]) -> None:
    known = {field.name for field in dataclasses.fields(spec)} - inner
    assert set(rows(page, section)) == known


@pytest.mark.parametrize(("page", "section", "spec", "inner"), TABLES, ids=lambda value: str(value)[:24])
def test_defaults(page: str, section: str, spec: Any, inner: set[str]) -> None:
    """Where the page gives a number, a truth or a text, and the code has one of the kind."""
    defaults = {field.name: field.default for field in dataclasses.fields(spec)}
    compared = {}
    for key, said in rows(page, section).items():
        found = _VALUE.fullmatch(said.strip())
        if found is None or defaults[key] in (None, dataclasses.MISSING):
            continue
        number, truth, text = found.groups()
        value: object = text if number is None else int(number)
        value = truth == "true" if truth is not None else value
        if type(value) is type(defaults[key]) or (
            isinstance(value, int) and isinstance(defaults[key], float)
        ):
            compared[key] = (value, defaults[key])
    assert len(compared) >= 5
    assert {key: pair for key, pair in compared.items() if pair[0] != pair[1]} == {}
