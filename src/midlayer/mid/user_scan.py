"""A scan that a person asks for, in the words of sysfs: ``echo "- - -" > scan`` (rule SC-28)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from midlayer.errors import InvalidRequest
from midlayer.mid.callbacks import demand

if TYPE_CHECKING:
    from midlayer.mid.host import Host
    from midlayer.mid.subsystem import Subsystem

_WILD_CARD = "-"
_NUMBER = re.compile(r"\d+", re.ASCII)


def scan_by_text(subsystem: Subsystem, host: Host, text: str) -> None:
    """Scan what ``channel target lun`` says, in the driver's own way if it has one.

    Args:
        subsystem: Of the host.
        host: Which one.
        text: Three words, each a number or ``-`` for all.

    Raises:
        InvalidRequest: For anything else, for a number beyond what the host can address, or if the
            subsystem's scan type is ``none``.
    """
    if subsystem.scan_type == "none":
        raise InvalidRequest(f"host {host.host_no}: the scan type is none, so nobody may scan")
    words = text.split()
    if len(words) != 3:
        raise InvalidRequest(f"host {host.host_no}: {text!r} is not channel, target and LUN, such as '- - -'")
    channel, target, lun = (_number(word) for word in words)
    if not demand(host, host.template.user_scan, host, channel, target, lun):
        subsystem.scan_host(host, channel, target, lun)


def _number(word: str) -> int | None:
    if word == _WILD_CARD:
        return None
    if not _NUMBER.fullmatch(word):
        raise InvalidRequest(f"{word!r} is neither a number nor '-'")
    return int(word)
