"""Masking: a twin that somebody may be given who is not to know which device it was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from midlayer.layout import LayoutError
from midlayer.standards.designators import DesignatorType, decode_designators
from midlayer.standards.opcodes import Opcode
from midlayer.twin import MASKED, Answer, Twin

_SHORTEST_SECRET = 4
_OUI_BYTES = 4  # the type of the name and the vendor's number, rounded up


def masked(twin: Twin) -> Twin:
    """Return a twin with other characters in the place of its serial numbers and names.

    What replaces a number has its length, and is the same wherever the number stands: the twin stays one
    device, and two captures of one device stay equal. The vendor's part of a name (OUI) is kept.
    """
    replacements = {secret: _disguise(secret) for secret in _secrets(twin) if len(secret) >= _SHORTEST_SECRET}
    ordered = sorted(replacements, key=len, reverse=True)

    def mask(data: bytes) -> bytes:
        for secret in ordered:
            data = data.replace(secret, replacements[secret])
        return data

    answers = {key: replace(answer, data=mask(answer.data)) for key, answer in twin.answers.items()}
    return replace(twin, answers=answers, serials=MASKED)


def _secrets(twin: Twin) -> Iterator[bytes]:
    yield twin.answers.get(_vpd_key(0x80), Answer()).data[4:].strip(b" \0")
    page = twin.answers.get(_vpd_key(0x83), Answer()).data
    try:
        designators = decode_designators(page[4:])
    except LayoutError:
        designators = ()
    for designator in designators:
        identifier = designator.identifier
        if designator.designator_type in (DesignatorType.NAA, DesignatorType.EUI_64) and len(identifier) >= 8:
            yield identifier[4:]
        elif (
            designator.designator_type == DesignatorType.SCSI_NAME_STRING
            and len(identifier) >= _SHORTEST_SECRET
        ):
            yield identifier.strip(b"\0")


def _vpd_key(code: int) -> bytes:
    return bytes((Opcode.INQUIRY, 1, code, 0, 0, 0))


def _disguise(secret: bytes) -> bytes:
    digest = hashlib.sha256(b"midlayer twin" + secret).hexdigest().upper().encode()
    if secret.isascii() and secret.decode().isprintable():
        return (digest * (len(secret) // len(digest) + 1))[: len(secret)]
    plain = hashlib.sha256(digest).digest()
    return (plain * (len(secret) // len(plain) + 1))[: len(secret)]
