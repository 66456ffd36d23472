"""The address of a logical unit: host, channel, target, lun."""

from __future__ import annotations

import re
from typing import NamedTuple

from midlayer.errors import AddressError

_TEXT = re.compile(r"(\d{1,10}):(\d{1,10}):(\d{1,10}):(\d{1,20})", re.ASCII)


class Address(NamedTuple):
    """Host number, channel, target id and LUN, as the kernel writes them: ``2:0:1:0``.

    `lun` is the kernel's integer form of the 8-byte LUN (`midlayer.standards.sam.lun_from_bytes`).
    """

    host: int
    channel: int
    target: int
    lun: int

    def __str__(self) -> str:
        return f"{self.host}:{self.channel}:{self.target}:{self.lun}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``host:channel:target:lun``, decimal.

        Raises:
            AddressError: If `text` is anything else.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise AddressError(f"{text!r} is not an address; write host:channel:target:lun, such as 2:0:1:0")
        return cls(*map(int, match.groups()))
