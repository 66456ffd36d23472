"""The nodes of a daemon: what ``midlayer up`` serves besides its API."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path

from midlayer.errors import DaemonError
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.nodes.serving import serving_beside

_log = logging.getLogger("midlayer.nodes")


def serve_nodes(stack: ExitStack, daemon: Daemon, path: Path) -> None:
    """Serve a daemon's nodes until `stack` is closed.

    Args:
        stack: Ends what is begun here, before it ends the daemon.
        daemon: Started.
        path: The socket of its API; programs of ``midlayer exec`` connect beside it.
    """
    try:
        stack.enter_context(serving_beside(path, daemon.subsystem))
    except DaemonError as error:  # the API does not need it
        _log.warning("midlayer exec can not connect: %s", error)
