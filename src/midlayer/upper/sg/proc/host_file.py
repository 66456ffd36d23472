"""``/proc/scsi/<driver>/<host_no>``: what a driver says of a host, and takes for it."""

from __future__ import annotations

import errno
import logging
from functools import partial
from typing import TYPE_CHECKING

from midlayer.upper.sg.parameters import Caller
from midlayer.upper.sg.proc.file import READ_WRITE, Entry
from midlayer.upper.sg.proc.numbers import refusal

if TYPE_CHECKING:
    from midlayer.mid.host import Host

_log = logging.getLogger("midlayer.proc")

_MOST_BYTES = 3 * 1024


def of_host(host: Host) -> Entry:
    """Return the file of a host."""
    return Entry(partial(_show, host), partial(_write, host), READ_WRITE)


def _show(host: Host) -> str:
    try:
        return host.template.show_info(host)
    except OSError:
        raise
    except Exception:
        _log.exception("host %d: %s raised in show_info", host.host_no, host.name)
        raise refusal(errno.EIO) from None


def _write(host: Host, data: bytes, caller: Caller) -> int:
    if len(data) > _MOST_BYTES:
        raise refusal(errno.EOVERFLOW)
    try:
        taken = host.template.write_info(host, data)
    except OSError:
        raise
    except Exception:
        _log.exception("host %d: %s raised in write_info", host.host_no, host.name)
        raise refusal(errno.EIO) from None
    if taken < 0:
        raise refusal(-taken)
    return taken
