"""An iSCSI target over one file, until it is killed; it prints its port.

python target_of_a_file.py FILE SIZE IQN
"""

from __future__ import annotations

import sys
import threading

from midlayer.frontends.config import parse
from midlayer.frontends.daemon.core import Daemon


def main(file: str, size: str, iqn: str) -> None:
    """Serve the file."""
    text = f"""
[[host]]
driver = "virtual"
[[host.unit]]
file = {file!r}
size = {size}
[[target]]
iqn = "{iqn}"
portals = ["127.0.0.1:0"]
[[target.lun]]
device = "0:0:0:0"
"""
    daemon = Daemon(parse(text), None)
    daemon.start()
    print(daemon.targets.portals(iqn)[0].port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
