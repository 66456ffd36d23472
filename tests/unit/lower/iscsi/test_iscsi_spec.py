"""What may be said of a session, and what every mistake is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from midlayer.errors import SpecError
from midlayer.lower.iscsi.spec import SessionSpec, parse_portal

IQN = "iqn.2026-11.io.midlayer:demo"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", ("192.0.2.1", 3260)),
        ("192.0.2.1:860", ("192.0.2.1", 860)),
        ("[2001:db8::1]", ("2001:db8::1", 3260)),
        ("[2001:db8::1]:860", ("2001:db8::1", 860)),
        ("array.example:3261", ("array.example", 3261)),
    ],
)
def test_portal(text: str, address: tuple[str, int]) -> None:
    assert parse_portal(text) == address


@pytest.mark.parametrize("text", ["", ":3260", "a:b", "a:0", "a:65536", "::1", "[::1]3260", "::1]:3"])
def test_no_portal(text: str) -> None:
    with pytest.raises(SpecError, match="must be an address and a port"):
        parse_portal(text)


MISTAKES: dict[str, tuple[dict[str, object], str]] = {
    "unknown key": ({"portl": "x"}, "portl: there is no such key; did you mean portal?"),
    "no portal": ({"target": IQN}, "portal: is missing"),
    "a number": ({"portal": 3}, "portal: 3 must be text in quotes"),
    "target": ({"portal": "a", "target": "disk"}, "target: 'disk' is not an iSCSI name"),
    "user alone": ({"portal": "a", "user": "me"}, "user: user and secret belong together"),
    "flag": ({"portal": "a", "header_digest": "x"}, "header_digest: 'x' must be true or false"),
    "seconds": ({"portal": "a", "ping_interval_s": -1}, "ping_interval_s: -1 must be a number of seconds"),
    "depth": ({"portal": "a", "queue_depth": 0}, "queue_depth: 0 must be a number from 1 to 1024"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake(case: str) -> None:
    given, says = MISTAKES[case]
    with pytest.raises(SpecError) as caught:
        SessionSpec.from_mapping(given)
    assert says in str(caught.value)


def test_a_secret_is_in_a_file_that_nobody_else_may_read(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    given = {"portal": "a", "user": "me", "secret": "secret"}
    with pytest.raises(SpecError, match="No such file"):
        SessionSpec.from_mapping(given, base=tmp_path)
    file.write_bytes(b"very secret text\n")
    file.chmod(0o640)
    with pytest.raises(SpecError, match=r"others may read it \(mode 0640\); run: chmod 600"):
        SessionSpec.from_mapping(given, base=tmp_path)
    file.chmod(0o600)
    spec = SessionSpec.from_mapping(given, base=tmp_path)
    assert spec.secret == b"very secret text"
    assert "very secret" not in repr(spec)
    file.write_bytes(b"")
    with pytest.raises(SpecError, match="a secret has 1 to 255 bytes"):
        SessionSpec.from_mapping(given, base=tmp_path)


def test_mutual_chap_needs_both(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"x")
    (tmp_path / "s").chmod(0o600)
    given = {"portal": "a", "target_user": "them", "target_secret": "s"}
    with pytest.raises(SpecError, match="mutual CHAP needs user and secret as well"):
        SessionSpec.from_mapping(given, base=tmp_path)
