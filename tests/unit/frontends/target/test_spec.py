"""What a configuration may say of a target, and which mistake it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midlayer.errors import ConfigError, UsageError
from midlayer.frontends.config import load, parse
from midlayer.frontends.target.spec import Portal, TargetSpec, TargetSpecError
from midlayer.secret_files import read_secret

from .initiator import INITIATOR, TARGET

ROOT = Path(__file__).parents[4]


def spec(**given: Any) -> TargetSpec:
    return TargetSpec.from_mapping({"iqn": TARGET, **given})


def test_the_example() -> None:
    (target,) = load(ROOT / "examples" / "target.toml").targets
    assert target.iqn == "iqn.2026-11.io.midlayer:demo"
    assert [str(portal) for portal in target.portals] == ["127.0.0.1:3260"]
    assert [(lun.lun, lun.device) for lun in target.luns] == [(0, "0:0:0:0")]


@pytest.mark.parametrize(
    ("text", "portal"),
    [
        ("127.0.0.1", Portal("127.0.0.1", 3260)),
        ("127.0.0.1:0", Portal("127.0.0.1", 0)),
        ("[::1]:860", Portal("::1", 860)),
        ("[::1]", Portal("::1", 3260)),
    ],
)
def test_portals(text: str, portal: Portal) -> None:
    assert Portal.parse(text) == portal
    assert portal.loopback


@pytest.mark.parametrize("text", ["", "localhost", "::1", "1.2.3.4:99999", "1.2.3:80", 5, "[1.2.3.4"])
def test_what_is_no_portal(text: object) -> None:
    with pytest.raises(TargetSpecError, match="must be an IP address"):
        Portal.parse(text)


MISTAKES: dict[str, tuple[dict[str, Any], str, str]] = {
    "no name": ({"iqn": None}, "iqn", "is missing"),
    "a wrong name": ({"iqn": "disk"}, "iqn", "is not an iSCSI name"),
    "an unknown key": ({"portal": ["127.0.0.1"]}, "portal", "did you mean portals"),
    "no portals": ({"portals": []}, "portals", "needs one"),
    "a portal in two groups": ({"portals": ["127.0.0.1", "127.0.0.1:3260,2"]}, "portals", "given twice"),
    "no portal group": ({"portals": ["127.0.0.1:3260,0"]}, "portals", "must be an IP address"),
    "an open target": ({"portals": ["192.0.2.1"]}, "portals", "not a loopback address; name initiators"),
    "an open target everywhere": ({"portals": ["0.0.0.0:3260"]}, "portals", "not a loopback address"),
    "a LUN twice": ({"lun": [{"device": "0:0:0:0"}] * 2}, "lun.lun", "0 is given twice"),
    "a LUN too high": ({"lun": [{"lun": 16384, "device": "sg0"}]}, "lun.lun", "from 0 to 16383"),
    "no device": ({"lun": [{"lun": 1}]}, "lun.device", "is missing"),
    "an unknown key of a LUN": ({"lun": [{"device": "sg0", "ro": True}]}, "lun.ro", "no such key"),
    "read_only": ({"lun": [{"device": "sg0", "read_only": 1}]}, "lun.read_only", "true or false"),
    "an initiator": ({"initiators": ["bob"]}, "initiators", "is not an iSCSI name"),
    "an account without a file": ({"account": [{"name": "x"}]}, "account.secret_file", "is missing"),
    "mutual alone": ({"mutual": None}, "mutual", "write a table"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake(case: str) -> None:
    given, key, says = MISTAKES[case]
    with pytest.raises(TargetSpecError, match=says) as caught:
        spec(**given)
    assert caught.value.key == key


def test_who_may_listen_elsewhere(secret: Callable[[str, str], str]) -> None:
    assert spec(portals=["192.0.2.1"], initiators=[INITIATOR]).portals
    account = {"name": "u", "secret_file": secret("a", "twelve bytes and more")}
    assert spec(portals=["0.0.0.0"], account=[account]).accounts[0].name == "u"


def test_both_secrets_must_differ(secret: Callable[[str, str], str]) -> None:
    account = {"name": "u", "secret_file": secret("a", "twelve bytes and more")}
    with pytest.raises(TargetSpecError, match="must differ"):
        spec(account=[account], mutual=account)


def test_secrets_are_shown_nowhere(secret: Callable[[str, str], str]) -> None:
    account = {"name": "u", "secret_file": secret("a", "twelve bytes and more")}
    assert "twelve" not in repr(spec(account=[account]))


def test_a_mistake_in_a_file_has_its_line() -> None:
    text = f'[[target]]\niqn = "{TARGET}"\n\n[[target.lun]]\ndevice = "sg0"\n\n[[target.lun]]\nlun = "x"\n'
    with pytest.raises(ConfigError, match="must be a number") as caught:
        parse(text)
    assert (caught.value.line, caught.value.key) == (8, "target.lun.lun")
    with pytest.raises(ConfigError, match="name of another target"):
        parse(f'[[target]]\niqn = "{TARGET}"\n' * 2)
    with pytest.raises(ConfigError, match="write \\[\\[target\\]\\]"):
        parse("target = 5")


def test_secret_files(tmp_path: Path, secret: Callable[[str, str], str]) -> None:
    assert read_secret(Path(secret("good", "twelve bytes and more\n"))) == b"twelve bytes and more"
    for mode in (0o640, 0o604, 0o620):
        wide = Path(secret(f"wide{mode}", "twelve bytes and more"))
        wide.chmod(mode)
        with pytest.raises(UsageError, match=r"others may read it .* chmod 600") as caught:
            read_secret(wide)
        assert "twelve" not in str(caught.value)
    with pytest.raises(UsageError, match="12 to 255 bytes") as caught:
        read_secret(Path(secret("short", "short one")))
    assert "short one" not in str(caught.value)
    with pytest.raises(UsageError, match="No such file"):
        read_secret(tmp_path / "none")


def test_access_is_changed_without_opening_the_target() -> None:
    changed = spec().with_access((INITIATOR,), ())
    assert changed.initiators == (INITIATOR,)
    with pytest.raises(TargetSpecError, match="everybody may log in"):
        changed.with_access((), (INITIATOR,))
