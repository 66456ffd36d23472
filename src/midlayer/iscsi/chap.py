"""CHAP (RFC 1994 as RFC 7143 12.1.3 has it; the algorithms as IANA registered them).

A verifier sends a challenge and knows the secret that must have answered it; the other side answers
with a digest of identifier, secret and challenge. Both sides can be verifiers, each with a secret of
its own. Secrets are in no message of any error.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from midlayer.iscsi import text
from midlayer.iscsi.errors import AuthenticationError

CHALLENGE_BYTES = 24
MAX_CHALLENGE_BYTES = 1024

ALGORITHMS: dict[int, tuple[str, Callable[[bytes], hashlib._Hash]]] = {
    8: ("SHA3-256", hashlib.sha3_256),
    7: ("SHA-256", hashlib.sha256),
    6: ("SHA1", lambda data: hashlib.sha1(data, usedforsecurity=False)),
    5: ("MD5", lambda data: hashlib.md5(data, usedforsecurity=False)),
}
"""By the number in CHAP_A, strongest first."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and its secret. Neither `repr` nor `str` shows the secret."""

    name: str
    secret: bytes = field(repr=False)


def response(algorithm: int, identifier: int, secret: bytes, challenge: bytes) -> bytes:
    """Return the answer to a challenge."""
    return ALGORITHMS[algorithm][1](bytes((identifier,)) + secret + challenge).digest()


def choose_algorithm(offered: str) -> int:
    """Return the first algorithm of a CHAP_A offer that we know.

    Raises:
        AuthenticationError: If there is none.
    """
    for item in offered.split(","):
        number = text.number(item)
        if number in ALGORITHMS:
            return number
    raise AuthenticationError("CHAP_A offers no algorithm that is known")


@dataclass(slots=True)
class Verifier:
    """One challenge of ours, and what must come back.

    Args:
        algorithm: As agreed on.
        random: Gives random bytes.
    """

    algorithm: int
    random: Callable[[int], bytes]
    identifier: int = field(init=False)
    challenge: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.identifier = self.random(1)[0]
        self.challenge = self.random(CHALLENGE_BYTES)

    def pairs(self) -> text.Pairs:
        """Return the challenge as text."""
        return [("CHAP_I", str(self.identifier)), ("CHAP_C", text.hex_value(self.challenge))]

    def check(self, name: str, answer: str, expected: Credentials) -> None:
        """Compare an answer.

        Raises:
            AuthenticationError: If name or answer are not the expected ones; it does not say which.
        """
        given = text.binary(answer) or b""
        right = response(self.algorithm, self.identifier, expected.secret, self.challenge)
        same_name = hmac.compare_digest(name.encode(), expected.name.encode())
        if not (hmac.compare_digest(given, right) and same_name):
            raise AuthenticationError("CHAP: the name or the secret is not the right one")


def answer_challenge(
    algorithm: int, identifier: str, challenge: str, ours: Credentials, *, sent: Verifier | None
) -> text.Pairs:
    """Answer the other side's challenge.

    Args:
        algorithm: As agreed on.
        identifier, challenge: The values of CHAP_I and CHAP_C.
        ours: Who we are.
        sent: Our own challenge on this connection, if there is one.

    Raises:
        AuthenticationError: If the challenge is malformed, or is our own one sent back (12.1.3).
    """
    number, data = text.number(identifier), text.binary(challenge)
    if number is None or not 0 <= number <= 255:
        raise AuthenticationError("CHAP_I is not a number from 0 to 255")
    if not data or len(data) > MAX_CHALLENGE_BYTES:
        raise AuthenticationError(f"CHAP_C is not 1 to {MAX_CHALLENGE_BYTES} bytes")
    if sent is not None and hmac.compare_digest(data, sent.challenge):
        raise AuthenticationError("CHAP: our own challenge was reflected")
    digest = response(algorithm, number, ours.secret, data)
    return [("CHAP_N", ours.name), ("CHAP_R", text.hex_value(digest))]
