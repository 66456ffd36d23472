"""A subsystem with two disks, and the server's parts on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from midlayer.frontends.config import parse
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.nodes.serving import sg_nodes
from midlayer.frontends.nodes.tree import Tree
from midlayer.upper.sg.proc import ProcTree

CONFIG = """
[[host]]
driver = "virtual"

[[host.unit]]
lun = 0
serial = "ONE"

[[host.unit]]
target = 3
lun = 2
type = "cd"
"""


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """A subsystem that runs."""
    running = Daemon(parse(CONFIG), None)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def snapshot(daemon: Daemon, tmp_path: Path) -> Path:
    """The directory of its snapshot."""
    nodes = sg_nodes(daemon.subsystem)
    tree = Tree(tmp_path / "tree", daemon.subsystem, ProcTree(daemon.subsystem, nodes))
    tree.fill()
    daemon.subsystem.register_upper(tree)
    return tmp_path / "tree"
