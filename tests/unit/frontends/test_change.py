"""The verb ``change`` and ``POST /v1/change``: virtual units that are changed while they are used."""

from __future__ import annotations

from typing import Any

import pytest

from midlayer.frontends.cli.main import main

from .serving import Serving

READ_CAPACITY, TUR = "25" + "00" * 9, "00" * 6
CAPACITY_CHANGED, ACCESS_CHANGED, STANDBY = "2a09", "2a06", "040b"


def execute(serving: Serving, device: str, cdb: str, data_in: int = 0) -> dict[str, Any]:
    answer = serving.http.post("execute", json={"device": device, "cdb": cdb, "data_in": data_in})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def code(answer: dict[str, Any]) -> str:
    """Return ASC and ASCQ of an answer."""
    return bytes.fromhex(answer["sense"])[12:14].hex()


def midlayer(serving: Serving, *arguments: str) -> int:
    return main([*arguments, "--socket", str(serving.path)])


def test_size(serving: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    assert midlayer(serving, "change", "0:0:0:0", "size=4M") == 0
    assert capsys.readouterr().out == "0:0:0:0 has size=4M\n"
    assert code(execute(serving, "0:0:0:0", TUR)) == CAPACITY_CHANGED
    device = serving.daemon.find("0:0:0:0")
    assert device.hostdata.blocks == (4 << 20) // 512


def test_states_of_paths(serving: Serving) -> None:
    serving.http.post("plug", json={"device": "virtual:disk?lun=7&size=1M&alua=optimized,standby"})
    assert midlayer(serving, "change", "0:0:0:7", "alua=standby,optimized") == 0
    assert code(execute(serving, "0:0:0:7", TUR)) == ACCESS_CHANGED
    assert code(execute(serving, "0:0:0:7", TUR)) == STANDBY


@pytest.mark.parametrize(
    ("device", "word", "said"),
    [
        ("0:0:0:0", "size", "must be KEY=VALUE"),
        ("0:0:0:0", "size=1000", "not a size that this unit can have"),
        ("0:0:0:0", "siez=1M", "did you mean size"),
        ("0:0:0:0", "alua=standby", "has 0 target port groups"),
        ("0:0:0:9", "size=1M", "0:0:0:9"),
    ],
)
def test_refused(
    serving: Serving, capsys: pytest.CaptureFixture[str], device: str, word: str, said: str
) -> None:
    assert midlayer(serving, "change", device, word) != 0
    assert said in capsys.readouterr().err
