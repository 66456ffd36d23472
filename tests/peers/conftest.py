"""Fixtures for programs of other projects that run on devices of ours."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from midlayer.frontends.config import parse
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.nodes.program import LIBRARY, environment
from midlayer.frontends.nodes.server import NodeServer
from midlayer.frontends.nodes.serving import make_directory, served, sg_nodes
from midlayer.mid.logical_unit import LogicalUnit

CONFIG = """
[[host]]
driver = "virtual"
name = "peers"

[[host.unit]]
lun = 0
product = "First disk"
serial = "PEER0001"
size = "16M"
thin = true

[[host.unit]]
lun = 1
product = "Second disk"
serial = "PEER0002"
size = "16M"
block_size = 4096

[[host.unit]]
target = 1
type = "cd"
product = "A CD"
size = "4M"
removable = true
"""


class Machine:
    """A subsystem whose nodes programs see.

    Attributes:
        daemon: The subsystem.
        server: Serves its nodes.
        nodes: Its sg devices.
        environment: For programs.
    """

    def __init__(self, daemon: Daemon, server: NodeServer, require: Callable[[str], str]) -> None:
        self.daemon = daemon
        self.server = server
        self.nodes = sg_nodes(daemon.subsystem)
        self.environment = environment(server.directory)
        self._require = require

    def device(self, name: str) -> LogicalUnit:
        """Return a device by its sg name."""
        return self.daemon.find(name)

    def start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a program."""
        command = [self._require(name), *arguments]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, name: str, *arguments: str, status: int = 0) -> str:
        """Run a program that ends with `status`, and return what it printed."""
        with self.start(name, *arguments) as program:
            try:
                printed, _ = program.communicate(timeout=180)
            except subprocess.TimeoutExpired:
                program.kill()
                raise
        assert program.returncode == status, f"{name} {' '.join(arguments)}: {program.returncode}: {printed}"
        return printed


@pytest.fixture
def machine(require_tool: Callable[[str], str], request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Bring up two disks and a CD drive as sg0 to sg2, or what ``MACHINE`` of the test's module says."""
    if not LIBRARY.exists():
        advice = "the preload library is not built: pip install -e ."
        if os.environ.get("CI") == "true":
            pytest.fail(advice)
        pytest.skip(advice)
    daemon = Daemon(parse(getattr(request.module, "MACHINE", CONFIG)), None)
    daemon.start()
    try:
        with served(daemon.subsystem, make_directory()) as server:
            yield Machine(daemon, server, require_tool)
    finally:
        daemon.stop()
