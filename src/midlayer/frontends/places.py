"""Where the daemon's socket and its state are, unless somebody says otherwise."""

from __future__ import annotations

import os
from pathlib import Path


def default_socket() -> Path:
    """Return the path of the daemon's socket: ``MIDLAYER_SOCKET``, or a place of this user's."""
    if "MIDLAYER_SOCKET" in os.environ:
        return Path(os.environ["MIDLAYER_SOCKET"])
    if os.geteuid() == 0:
        return Path("/run/midlayer/midlayer.sock")
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/midlayer-{os.geteuid()}"
    return Path(runtime) / "midlayer.sock"


def default_state() -> Path:
    """Return the state directory."""
    if os.geteuid() == 0:
        return Path("/var/lib/midlayer")
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "midlayer"
