"""Every key: what both sides come to, and what is refused."""

from __future__ import annotations

import pytest

from midlayer.iscsi import negotiation
from midlayer.iscsi.errors import LoginError, ProtocolError
from midlayer.iscsi.negotiation import KEYS, Kind, Parameters, Phase, Side

# RFC 7143 chapter 13 and RFC 7144 9: key, ours, offer, answer.
OUTCOMES = [
    ("HeaderDigest", "None", "CRC32C,None", "CRC32C"),
    ("HeaderDigest", "None", "None,CRC32C", "None"),
    ("DataDigest", "None", "MD5,CRC32C", "CRC32C"),
    ("DataDigest", "None", "MD5", "Reject"),
    ("MaxConnections", 1, "8", "1"),
    ("InitialR2T", False, "No", "No"),
    ("InitialR2T", False, "Yes", "Yes"),
    ("InitialR2T", True, "No", "Yes"),
    ("ImmediateData", True, "Yes", "Yes"),
    ("ImmediateData", True, "No", "No"),
    ("ImmediateData", False, "Yes", "No"),
    ("ImmediateData", True, "yes", "Reject"),
    ("MaxBurstLength", 1 << 20, "262144", "262144"),
    ("MaxBurstLength", 262144, "0x100000", "262144"),
    ("MaxBurstLength", 262144, "511", "Reject"),
    ("MaxBurstLength", 262144, "16777216", "Reject"),
    ("FirstBurstLength", 65536, "131072", "65536"),
    ("DefaultTime2Wait", 0, "2", "2"),
    ("DefaultTime2Wait", 5, "2", "5"),
    ("DefaultTime2Wait", 0, "3601", "Reject"),
    ("DefaultTime2Retain", 0, "20", "0"),
    ("MaxOutstandingR2T", 8, "1", "1"),
    ("DataPDUInOrder", True, "No", "Yes"),
    ("DataSequenceInOrder", True, "No", "Yes"),
    ("ErrorRecoveryLevel", 0, "2", "0"),
    ("ErrorRecoveryLevel", 0, "3", "Reject"),
    ("TaskReporting", "RFC3720", "FastAbort,RFC3720", "RFC3720"),
    ("iSCSIProtocolLevel", 2, "1", "1"),
    ("iSCSIProtocolLevel", 2, "31", "2"),
    ("IFMarker", "No", "Yes", "No"),
    ("OFMarkInt", "Reject", "1~65535", "Reject"),
    ("X-com.example", "", "1", "NotUnderstood"),
]


def answer(parameters: Parameters, key: str, value: str, **more: bool) -> str | None:
    return negotiation.answer(
        parameters, key, value, phase=Phase.INITIAL | Phase.LOGIN, sender=Side.INITIATOR, **more
    )


@pytest.mark.parametrize(("key", "ours", "offer", "expected"), OUTCOMES)
def test_outcome(key: str, ours: bool | int | str, offer: str, expected: str) -> None:
    parameters = Parameters({key: ours})
    assert answer(parameters, key, offer) == expected


@pytest.mark.parametrize(("key", "ours", "offer", "expected"), OUTCOMES)
def test_both_sides_come_to_the_same(key: str, ours: bool | int | str, offer: str, expected: str) -> None:
    if expected in ("Reject", "NotUnderstood") or KEYS[key].kind is Kind.OBSOLETE:
        return
    responder = Parameters({key: ours})
    answer(responder, key, offer)
    theirs = {"Yes": True, "No": False}.get(offer, int(offer, 0) if offer[0].isdigit() else offer)
    offerer = Parameters({key: theirs})
    negotiation.accept(offerer, key, expected)
    assert offerer.values[key] == responder.values[key]


def test_keys_that_mean_nothing_in_discovery() -> None:
    assert answer(Parameters(), "MaxBurstLength", "8192", discovery=True) == "Irrelevant"
    assert answer(Parameters(), "HeaderDigest", "None", discovery=True) == "None"


def test_what_may_not_be_sent() -> None:
    with pytest.raises(ProtocolError, match="can not be sent now"):
        answer(Parameters(), "TargetAlias", "x")
    with pytest.raises(ProtocolError, match="can not be sent now"):
        negotiation.answer(Parameters(), "InitialR2T", "Yes", phase=Phase.FULL_FEATURE, sender=Side.INITIATOR)
    parameters = Parameters()
    answer(parameters, "InitialR2T", "Yes")
    with pytest.raises(ProtocolError, match="negotiated before"):
        answer(parameters, "InitialR2T", "Yes")


@pytest.mark.parametrize(
    ("key", "value"),
    [("InitialR2T", "Maybe"), ("MaxBurstLength", "many"), ("HeaderDigest", "MD5"), ("IFMarker", "Yes")],
)
def test_answers_that_can_not_be(key: str, value: str) -> None:
    with pytest.raises(LoginError, match=key):
        negotiation.accept(Parameters(), key, value)


def test_the_first_burst_is_never_longer_than_the_longest() -> None:
    parameters = Parameters(values={"MaxBurstLength": 1024})
    parameters.finish()
    assert parameters.number("FirstBurstLength") == 1024


def test_defaults_are_the_rfcs() -> None:
    parameters = Parameters()
    assert parameters.number("MaxBurstLength") == 262144
    assert parameters.number("FirstBurstLength") == 65536
    assert parameters.yes("InitialR2T")
    assert parameters.yes("ImmediateData")
    assert parameters.choice("HeaderDigest") == "None"
    assert parameters.peer_number("MaxRecvDataSegmentLength") == 8192
