"""rules check, rules test and info, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from midlayer.frontends.cli.main import main

from .serving import Serving

VIRTUAL = "virtual:disk?size=1M&serial=S1"
DOCUMENT_001 = (
    'SUBSYSTEM=="scsi_generic", KERNEL=="sg[0-9]*", RUN+="/usr/sbin/sg-test.sh $tempnode $kernel"\n'
)


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def value(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    status, out, err = call(capsys, *arguments, "--json")
    assert status == 0, err
    return json.loads(out)


def test_check_says_where_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, good = tmp_path / "bad.rules", tmp_path / "good.rules"
    bad.write_text('ENV{A}="1"\nKERNAL=="sda", ENV{B}="1"\n')
    good.write_text(DOCUMENT_001)
    assert call(capsys, "rules", "check", str(good)) == (0, "1 file, 1 rule, no mistake\n", "")
    status, out, _ = call(capsys, "rules", "check", str(bad), str(good))
    assert status == 1
    assert out == (
        f"{bad}:2:1: error: there is no key 'KERNAL'; is KERNEL meant?\n2 files, 2 rules, 1 mistake\n"
    )
    status, out, _ = call(capsys, "rules", "check", "--json", str(tmp_path))
    assert status == 1
    assert json.loads(out) == {
        "files": 2,
        "rules": 2,
        "mistakes": [
            {
                "file": str(bad), "line": 2, "column": 1, "severity": "error",
                "message": "there is no key 'KERNAL'", "mend": "is KERNEL meant?",
            }
        ],
    }  # fmt: skip


def test_check_of_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = call(capsys, "rules", "check", str(tmp_path / "absent"))
    assert status == 1
    assert "no rule file is there" in err


def test_test_on_a_virtual_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.rules").write_text(
        'KERNEL=="sd?", SYMLINK+="mine", RUN{builtin}+="offline", GOTO="x"\nLABEL="x"\n'
    )
    status, out, _ = call(capsys, "rules", "test", VIRTUAL, "--rules", str(tmp_path))
    assert status == 0
    assert f"  {tmp_path}/a.rules:1: SYMLINK mine\n" in out
    assert "links:\n  /dev/mine\n" in out
    assert "would run:\n  builtin offline\n" in out
    assert "GOTO" not in out
    _, out, _ = call(capsys, "rules", "test", VIRTUAL, "--rules", str(tmp_path), "-v")
    assert "GOTO x" in out


def test_test_on_a_device_of_the_daemon(
    shared: Serving, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.rules").write_text(
        DOCUMENT_001 + 'ENV{COUNT}="$env{MIDLAYER_ATTACH_COUNT} $attr{peripheral_qualifier}"\n'
    )
    name = shared.http.get("attached").json()["items"][0]["names"]["sg"]
    answer = value(
        capsys,
        "rules",
        "test",
        name,
        "--rules",
        str(tmp_path),
        "--socket",
        str(shared.path),
        "--action",
        "change",
    )
    assert [run["command"] for run in answer["run"]] == [f"/usr/sbin/sg-test.sh /dev/{name} {name}"]
    assert answer["action"] == "change"
    assert answer["properties"]["COUNT"] == "2 0"
    assert answer["mistakes"] == []


def test_what_test_can_not_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        ((VIRTUAL, "--action", "jump"), "there is no action 'jump'"),
        (("/dev/no-such-node",), "this kernel has no such device"),
        (("/sys/class/no/such",), "this kernel has no such device"),
        (("iscsi://127.0.0.1:1/iqn.2026-11.com.example:x/0",), "Connection refused"),
    ):
        status, _, err = call(capsys, "rules", "test", *arguments, "--rules", str(tmp_path))
        assert status != 0
        assert message in err
    _, out, _ = call(capsys, "rules", "test", VIRTUAL, "--rules", str(tmp_path))
    assert "no rule was read" in out


def test_info_walks_up_the_parents(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "info", "-a", "-x", VIRTUAL)
    assert status == 0
    assert '    KERNEL=="sda"\n    SUBSYSTEM=="block"\n' in out
    assert '    ATTRS{vendor}=="MIDLAYER"\n' in out
    assert '    KERNELS=="host0"\n' in out


def test_info_answers_queries(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/devices/midlayer/host0/target0:0:0/0:0:0:0/block/sda"
    assert call(capsys, "info", "-q", "path", VIRTUAL)[1] == f"{path}\n"
    assert call(capsys, "info", "-q", "name", VIRTUAL)[1] == "sda\n"
    assert f"DEVPATH='{path}'\n" in call(capsys, "info", "-x", "-q", "property", VIRTUAL)[1]
    assert "DEVNAME=/dev/sda\n" in call(capsys, "info", "-q", "property", VIRTUAL)[1]
    assert call(capsys, "info", "-q", "symlink", VIRTUAL)[0] == 0
    assert call(capsys, "info", VIRTUAL)[1].startswith(f"P: {path}\nM: sda\n")


def test_info_of_a_kernel_device(capsys: pytest.CaptureFixture[str]) -> None:
    answer = value(capsys, "info", "/dev/null")
    assert answer["devpath"] == "/devices/virtual/mem/null"
    assert answer["properties"]["MAJOR"] == "1"
    assert answer["walk"][0]["kernel"] == "null"
    assert call(capsys, "info", "-q", "path", "/sys/class/mem/null")[1] == "/devices/virtual/mem/null\n"


def test_info_of_a_device_of_the_daemon(shared: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    address = shared.http.get("attached").json()["items"][0]["address"]
    answer = value(capsys, "info", address, "--socket", str(shared.path))
    unit, target, host, top = answer["walk"]
    assert (unit["kernel"], unit["subsystem"]) == (address, "scsi")
    assert unit["attributes"]["attach_count"] == "2"
    assert [step["subsystem"] for step in (target, host, top)] == ["scsi", "scsi", "midlayer"]
