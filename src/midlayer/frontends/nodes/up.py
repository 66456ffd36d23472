"""The nodes of a daemon: what ``midlayer up`` serves besides its API."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path

from midlayer.errors import DaemonError
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.nodes.serving import serving_beside, sg_nodes
from midlayer.upper.scsimon.node import scsimon_node

_log = logging.getLogger("midlayer.nodes")


def serve_nodes(
    stack: ExitStack, daemon: Daemon, path: Path, *, mount: Path | None = None, cuse: bool = False
) -> None:
    """Serve a daemon's nodes until `stack` is closed.

    Args:
        stack: Ends what is begun here, before it ends the daemon.
        daemon: Started.
        path: The socket of its API; programs of ``midlayer exec`` connect beside it.
        mount: A directory for the nodes by FUSE.
        cuse: Make character devices.

    Raises:
        UsageError: If `mount` or `cuse` can not be had; with what to do.
        DaemonError: If the nodes can not be served, and `mount` needs them.
    """
    try:
        server = stack.enter_context(serving_beside(path, daemon.subsystem))
    except DaemonError as error:
        if mount is not None:
            raise
        _log.warning("midlayer exec can not connect: %s", error)  # the API does not need it
    else:
        if mount is not None:
            from midlayer.frontends.nodes.fuse.mount import mounted

            stack.enter_context(mounted(server, mount))
    if cuse:
        from midlayer.frontends.nodes.fuse.cuse import CuseNodes

        devices = CuseNodes(sg_nodes(daemon.subsystem))
        stack.callback(devices.stop)
        daemon.subsystem.register_upper(devices)
        daemon.policy.rules.watch_rights(devices.set_rights)
        node = scsimon_node(daemon.subsystem)
        if node is not None:
            devices.add_scsimon(node)
