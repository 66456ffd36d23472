"""Logins: stages, keys, CHAP both ways, and every way to be turned away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from midlayer.iscsi import chap, text
from midlayer.iscsi.chap import Credentials
from midlayer.iscsi.codes import LoginStatus, Opcode
from midlayer.iscsi.errors import AuthenticationError, LoginError
from midlayer.iscsi.initiator_events import SessionBegun
from midlayer.iscsi.initiator_login import Wishes
from midlayer.iscsi.login import MAX_EXCHANGES
from midlayer.iscsi.pdu import LoginRequest, LoginResponse, with_lengths
from midlayer.iscsi.target import TargetConnection
from midlayer.iscsi.target_events import Broken, LoggedIn, LoginFailed

from .wire import INITIATOR, TARGET, Cable, Policy, counting_random

USER = Credentials("user", b"a secret of the user")
OTHER = Credentials("other", b"a secret of another")
OURS = Credentials("target", b"a secret of the target")


def refused(cable: Cable) -> LoginError:
    """Run a login that fails; return what the initiator is told."""
    with pytest.raises(LoginError) as caught:
        cable.run()
    assert cable.initiator.closed
    assert cable.target.closed
    assert not cable.policy.begun
    return caught.value


def test_a_login_without_authentication() -> None:
    cable = Cable().run()
    (begun,) = cable.at_initiator
    (logged_in,) = cable.at_target
    assert isinstance(begun, SessionBegun)
    assert isinstance(logged_in, LoggedIn)
    assert begun.identity.tsih == 1
    assert logged_in.identity.initiator_name == INITIATOR
    assert logged_in.identity.target_name == TARGET
    assert cable.initiator.parameters.peer["TargetPortalGroupTag"] == 1
    assert cable.initiator.parameters.peer["TargetAlias"] == "test"


@pytest.mark.parametrize("number", chap.ALGORITHMS, ids=lambda number: chap.ALGORITHMS[number][0])
@pytest.mark.parametrize("mutual", [False, True])
def test_chap(number: int, mutual: bool) -> None:
    wishes = Wishes(
        INITIATOR, TARGET, account=USER, target_account=OURS if mutual else None, algorithms=(number,)
    )
    cable = Cable(Policy(OTHER, USER, ours=OURS), wishes=wishes).run()
    assert [type(event) for event in cable.at_initiator] == [SessionBegun]


def test_a_wrong_secret_and_a_wrong_name_are_told_alike() -> None:
    said = []
    for account in (replace(USER, secret=b"another secret......"), replace(USER, name="nobody")):
        cable = Cable(Policy(USER), wishes=Wishes(INITIATOR, TARGET, account=account))
        said.append(str(refused(cable)))
        (failed,) = cable.at_target
        assert isinstance(failed, LoginFailed)
        said.append(str(failed.error))
        assert "secret of" not in str(failed.error) + str(failed)
    assert said[:2] == said[2:]
    assert "authentication failure" in said[0]


def test_a_target_that_does_not_know_its_own_secret() -> None:
    wishes = Wishes(INITIATOR, TARGET, account=USER, target_account=replace(OURS, secret=b"x" * 20))
    cable = Cable(Policy(USER, ours=OURS), wishes=wishes)
    with pytest.raises(AuthenticationError, match="not the right one"):
        cable.run()
    assert cable.initiator.closed


def test_an_initiator_without_a_secret() -> None:
    assert refused(Cable(Policy(USER))).status is LoginStatus.AUTHENTICATION_FAILURE


def test_a_target_that_can_not_prove_itself() -> None:
    wishes = Wishes(INITIATOR, TARGET, account=USER, target_account=OURS)
    assert refused(Cable(Policy(USER), wishes=wishes)).status is LoginStatus.AUTHENTICATION_FAILURE


def test_no_common_algorithm() -> None:
    wishes = Wishes(INITIATOR, TARGET, account=USER, algorithms=(99,))
    assert refused(Cable(Policy(USER), wishes=wishes)).status is LoginStatus.AUTHENTICATION_FAILURE


def test_an_unknown_target() -> None:
    wishes = Wishes(INITIATOR, TARGET + "-other")
    assert refused(Cable(wishes=wishes)).status is LoginStatus.NOT_FOUND


class Dialogue:
    """Login requests, by hand."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.target = TargetConnection(self.policy, counting_random())

    def send(self, pairs: text.Pairs | bytes, **fields: Any) -> tuple[LoginResponse, dict[str, str]]:
        """Send one request; return the response and its text."""
        body = pairs if isinstance(pairs, bytes) else text.encode(pairs)
        values: dict[str, Any] = {"immediate": True, "csg": 1, "nsg": 3, "transit": True, **fields}
        if not values["transit"]:
            values["nsg"] = 0
        request = with_lengths(LoginRequest(**values).encode(), len(body))
        self.target.reader.feed(request + body + bytes(-len(body) % 4))
        while self.target.next_event() is not None:
            pass
        sent = b"".join(bytes(piece) for piece in self.target.take_output())
        response = LoginResponse.decode(sent[:48])
        said = sent[48 : 48 + response.data_segment_length]
        return response, dict(text.decode(said))


NAMES = [("InitiatorName", INITIATOR), ("TargetName", TARGET)]
REFUSED: dict[str, tuple[text.Pairs | bytes, dict[str, Any], LoginStatus]] = {
    "no initiator name": ([("TargetName", TARGET)], {}, LoginStatus.MISSING_PARAMETER),
    "no target name": ([("InitiatorName", INITIATOR)], {}, LoginStatus.MISSING_PARAMETER),
    "no text": (b"", {}, LoginStatus.MISSING_PARAMETER),
    "a wrong name": ([("InitiatorName", "bob"), ("TargetName", TARGET)], {}, LoginStatus.INITIATOR_ERROR),
    "a wrong target name": (
        [("InitiatorName", INITIATOR), ("TargetName", "iqn.x")],
        {},
        LoginStatus.INITIATOR_ERROR,
    ),
    "a session type": ([*NAMES, ("SessionType", "Other")], {}, LoginStatus.SESSION_TYPE_NOT_SUPPORTED),
    "a version": (NAMES, {"version_min": 1, "version_max": 1}, LoginStatus.UNSUPPORTED_VERSION),
    "an old session": (NAMES, {"tsih": 5}, LoginStatus.SESSION_DOES_NOT_EXIST),
    "full feature at once": (NAMES, {"csg": 3}, LoginStatus.INITIATOR_ERROR),
    "back to security": (NAMES, {"nsg": 0}, LoginStatus.INITIATOR_ERROR),
    "to the same stage": (NAMES, {"nsg": 1}, LoginStatus.INITIATOR_ERROR),
    "T and C": (NAMES, {"continues": True}, LoginStatus.INITIATOR_ERROR),
    "a key twice": ([*NAMES, ("InitiatorName", INITIATOR)], {}, LoginStatus.INITIATOR_ERROR),
    "not key=value": (b"InitiatorName\0", {}, LoginStatus.INITIATOR_ERROR),
    "not UTF-8": (b"InitiatorName=\xff\xfe\0", {}, LoginStatus.INITIATOR_ERROR),
    "a number beyond its limits": (
        [*NAMES, ("MaxRecvDataSegmentLength", "100")],
        {},
        LoginStatus.INITIATOR_ERROR,
    ),
    "SendTargets in a login": ([*NAMES, ("SendTargets", "All")], {}, LoginStatus.INITIATOR_ERROR),
    "security keys later": ([*NAMES, ("CHAP_A", "5")], {}, LoginStatus.INITIATOR_ERROR),
    "CHAP without AuthMethod": ([*NAMES, ("CHAP_A", "5")], {"csg": 0}, LoginStatus.AUTHENTICATION_FAILURE),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    pairs, fields, status = REFUSED[case]
    dialogue = Dialogue()
    response, _ = dialogue.send(pairs, **fields)
    assert LoginStatus(response.status) is status
    assert dialogue.target.closed
    assert not dialogue.policy.begun


def test_security_can_not_be_left_out() -> None:
    response, _ = Dialogue(Policy(USER)).send(NAMES)
    assert response.status == LoginStatus.AUTHENTICATION_FAILURE
    response, _ = Dialogue(Policy(USER)).send(NAMES, csg=0, nsg=1)
    assert response.status == LoginStatus.AUTHENTICATION_FAILURE
    response, _ = Dialogue(Policy(USER)).send([*NAMES, ("AuthMethod", "None")], csg=0, nsg=3)
    assert response.status == LoginStatus.AUTHENTICATION_FAILURE


def test_chap_steps_can_not_be_skipped() -> None:
    dialogue = Dialogue(Policy(USER))
    response, said = dialogue.send([*NAMES, ("AuthMethod", "CHAP,None")], csg=0, nsg=3)
    assert (response.transit, said["AuthMethod"]) == (False, "CHAP")
    response, _ = dialogue.send([("CHAP_N", "user"), ("CHAP_R", "0x00")], csg=0, nsg=3)
    assert response.status == LoginStatus.AUTHENTICATION_FAILURE


def test_a_reflected_challenge_is_refused() -> None:
    dialogue = Dialogue(Policy(USER, ours=OURS))
    dialogue.send([*NAMES, ("AuthMethod", "CHAP")], csg=0, transit=False)
    _, said = dialogue.send([("CHAP_A", "7")], csg=0, transit=False)
    challenge = text.binary(said["CHAP_C"])
    assert challenge is not None
    answer = chap.response(7, int(said["CHAP_I"]), USER.secret, challenge)
    response, back = dialogue.send(
        [
            ("CHAP_N", "user"),
            ("CHAP_R", text.hex_value(answer)),
            ("CHAP_I", said["CHAP_I"]),
            ("CHAP_C", said["CHAP_C"]),
        ],
        csg=0,
        nsg=1,
    )
    assert response.status == LoginStatus.AUTHENTICATION_FAILURE
    assert "CHAP_R" not in back


def test_text_over_several_requests() -> None:
    dialogue = Dialogue()
    body = text.encode([*NAMES, ("InitiatorAlias", "x" * 200)])
    response, said = dialogue.send(body[:50], continues=True, transit=False)
    assert (response.status, response.transit, said) == (0, False, {})
    response, said = dialogue.send(body[50:])
    assert response.transit
    assert said["TargetPortalGroupTag"] == "1"
    assert dialogue.target.identity.alias == "x" * 200


def test_text_without_end_is_refused() -> None:
    dialogue = Dialogue()
    for _ in range(9):
        response, _ = dialogue.send(b"X-a=" + b"x" * 8100, continues=True, transit=False)
        if response.status:
            break
    assert response.status == LoginStatus.INITIATOR_ERROR


def test_a_login_without_end_is_refused() -> None:
    dialogue = Dialogue()
    for number in range(MAX_EXCHANGES):
        response, _ = dialogue.send(NAMES if not number else b"", transit=False)
        assert response.status == 0
    response, _ = dialogue.send(b"", transit=False)
    assert response.status == LoginStatus.INITIATOR_ERROR


def test_the_session_is_not_another_in_the_middle_of_a_login() -> None:
    dialogue = Dialogue()
    dialogue.send(NAMES, transit=False)
    response, _ = dialogue.send(b"", isid=b"\1\2\3\4\5\6")
    assert response.status == LoginStatus.INITIATOR_ERROR


def test_keys_that_are_not_known_and_keys_that_are_obsolete() -> None:
    _, said = Dialogue().send([*NAMES, ("X-com.example.a", "1"), ("IFMarker", "Yes"), ("OFMarkInt", "8")])
    assert said["X-com.example.a"] == "NotUnderstood"
    assert (said["IFMarker"], said["OFMarkInt"]) == ("No", "Reject")


def test_anything_but_a_login_first_ends_the_connection_without_an_answer() -> None:
    target = TargetConnection(Policy(), counting_random())
    target.reader.feed(bytes((Opcode.SCSI_COMMAND,)) + bytes(47))
    assert isinstance(target.next_event(), Broken)
    assert target.closed
    assert not target.take_output()


def test_a_target_that_moved() -> None:
    cable = Cable()
    cable.initiator.take_output()
    body = text.encode([("TargetAddress", "192.0.2.7:3260,1")])
    response = LoginResponse(csg=1, status=LoginStatus.MOVED_TEMPORARILY)
    cable.initiator.reader.feed(with_lengths(response.encode(), len(body)) + body + bytes(-len(body) % 4))
    with pytest.raises(LoginError, match="moved temporarily"):
        cable.initiator.next_event()
    assert cable.initiator.moved_to == "192.0.2.7:3260,1"


def test_secrets_are_in_no_repr() -> None:
    assert "secret of" not in repr(USER) + str(USER) + repr(Wishes(INITIATOR, TARGET, account=USER))
