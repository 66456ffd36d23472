"""pytest fixtures: a SCSI subsystem for the time of a test.

The plugin is there wherever midlayer is installed::

    def test_serial_number(scsi_disk):
        assert serial_number(scsi_disk) == "PYTEST-1"

    @pytest.mark.scsi_disk(size="8G", block_size=4096, thin=True)
    def test_big_blocks(scsi_disk): ...

    @pytest.mark.scsi_fault(opcode="READ(10)", lba="8-9", sense="3/11/00", times=1)
    def test_a_bad_block(scsi_disk): ...

    def test_a_program(scsi_disk, scsi_exec):
        assert "PYTEST-1" in scsi_exec("sg_inq", "/dev/sg0").stdout

============================  ==========================================================================
``scsi_subsystem``            a `midlayer.Subsystem`, taken down when the test ends
``scsi_host``                 a virtual host on it; keys of ``[[host]]`` in ``@pytest.mark.scsi_host(…)``
``scsi_disk``                 a disk on that host, as `midlayer.open_device` returns one; keys of
                              ``[[host.unit]]`` in ``@pytest.mark.scsi_disk(…)``
``scsi_faults``               adds and clears faults of that disk in a test; those that are there
                              from the beginning are in ``@pytest.mark.scsi_fault(…)``, keys of ``[[fault]]``
``scsi_exec``                 runs an unmodified program that finds the subsystem's device nodes
``scsi_clock``                a test that asks for it has time that stands still until it is told to move
============================  ==========================================================================
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from midlayer.lower.filters import FaultFilter, FaultRule, FaultState
    from midlayer.mid.host import Host
    from midlayer.mid.subsystem import Subsystem
    from midlayer.testing.clock import FakeClock
    from midlayer.upper.sg import BoundDevice

_MARKERS = (
    "scsi_host(**keys): the host of the fixtures; keys as in [[host]] of midlayer's configuration",
    "scsi_disk(**keys): the disk of the fixtures; keys as in [[host.unit]] of midlayer's configuration",
    "scsi_fault(**keys): a fault of the disk, once for each; keys of [[fault]] in midlayer's configuration",
)
_PROGRAM_S = 60.0


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.fixture
def scsi_clock() -> FakeClock:
    """Time for the subsystem of this test; it moves by `FakeClock.advance` alone."""
    from midlayer.testing.clock import FakeClock

    return FakeClock()


@pytest.fixture
def scsi_subsystem(request: pytest.FixtureRequest) -> Iterator[Subsystem]:
    """A subsystem with sg names; hosts that are left at the end are removed."""
    from midlayer.mid.clock import SystemClock
    from midlayer.mid.subsystem import Subsystem
    from midlayer.upper.sg.device import SgNodes

    wants_clock = "scsi_clock" in request.fixturenames
    subsystem = Subsystem(clock=request.getfixturevalue("scsi_clock") if wants_clock else None)
    subsystem.register_upper(SgNodes())
    yield subsystem
    for host in subsystem.hosts():
        subsystem.remove_host(host)
        host.put()
    if isinstance(subsystem.clock, SystemClock):
        subsystem.clock.close()


@pytest.fixture
def scsi_host(request: pytest.FixtureRequest, scsi_subsystem: Subsystem) -> Host:
    """A virtual host, empty unless a fixture or the test plugs units into it."""
    from midlayer.lower.virtual import HostSpec, VirtualDriver

    spec = HostSpec.from_mapping(_keys(request, "scsi_host"))
    return VirtualDriver(scsi_subsystem).add_host(spec)


@pytest.fixture
def scsi_disk(request: pytest.FixtureRequest, scsi_host: Host) -> Iterator[BoundDevice]:
    """A virtual disk of 1 MiB, serial number ``PYTEST-1``, unless the marker says otherwise."""
    from midlayer.lower.virtual import UnitSpec, VirtualDriver
    from midlayer.upper.sg import BoundDevice

    driver = scsi_host.template
    assert isinstance(driver, VirtualDriver)
    keys = {"size": "1M", "serial": "PYTEST-1"} | _keys(request, "scsi_disk")
    with BoundDevice(driver.plug(scsi_host, UnitSpec.from_mapping(keys))) as device:
        faults = ScsiFaults(device)
        for fault in _faults(request):
            faults.add(**fault)
        yield device
        faults.clear()


class ScsiFaults:
    """The faults in force; one that is added is the disk's, unless its key ``device`` says otherwise."""

    def __init__(self, device: BoundDevice) -> None:
        self._device = device.logical_unit

    def add(self, **keys: Any) -> FaultRule:
        """Put a fault in force, after those that are there: ``scsi_faults.add(opcode="READ", lost=True)``.

        Raises:
            RuleError: For a key that is unknown or has an impossible value.
        """
        from midlayer.lower.filters import add_fault

        return add_fault(self._device, **keys)

    def clear(self, *names: str) -> None:
        """Take faults out of force, by name; all by default."""
        self._all.clear(names or None)

    def hits(self) -> int:
        """Return how many commands were hit so far by the faults that are in force."""
        return sum(state.injections for state in self.states())

    def states(self) -> list[FaultState]:
        """Return the faults in force, with their counts."""
        return self._all.states()

    @property
    def _all(self) -> FaultFilter:
        from midlayer.lower.filters import faults_of

        return faults_of(self._device.host.subsystem)


@pytest.fixture
def scsi_faults(scsi_disk: BoundDevice) -> ScsiFaults:
    """The faults of the disk, those of its markers among them; they are gone when the test ends."""
    return ScsiFaults(scsi_disk)


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def scsi_exec(scsi_subsystem: Subsystem) -> Iterator[Run]:
    """Run a program of whatever origin: ``scsi_exec("sg_inq", "/dev/sg0", check=True).stdout``.

    It finds the subsystem's ``/dev/sgN``, ``/proc/scsi`` and SCSI part of ``/sys``, without root.
    """
    from midlayer.frontends.nodes.program import environment
    from midlayer.frontends.nodes.serving import serving

    with serving(scsi_subsystem) as directory:

        def run(
            *command: str, check: bool = False, timeout_s: float = _PROGRAM_S
        ) -> subprocess.CompletedProcess[str]:
            environ = environment(directory)
            return subprocess.run(
                command, check=check, capture_output=True, text=True, timeout=timeout_s, env=environ
            )

        yield run


def _keys(request: pytest.FixtureRequest, name: str) -> dict[str, Any]:
    """Return the keys of a marker; the one nearest to the test wins."""
    keys: dict[str, Any] = {}
    for given in _markers(request, name, 'size="1G"'):
        keys = given | keys
    return keys


def _faults(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Return the keys of each fault, in the order in which they are written; a class's before a test's."""
    return _markers(request, "scsi_fault", 'opcode="READ", sense="3/11/00"')[::-1]


def _markers(request: pytest.FixtureRequest, name: str, example: str) -> list[dict[str, Any]]:
    """Return the keys of each marker of a name, nearest first."""
    markers = list(request.node.iter_markers(name))
    if any(marker.args for marker in markers):
        raise pytest.UsageError(f"@pytest.mark.{name} takes keys: {example} and the like")
    return [marker.kwargs for marker in markers]
