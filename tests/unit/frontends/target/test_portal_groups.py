"""Portal groups: the target ports of a target, and what they mean to a device with target port groups."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from midlayer.frontends.target.spec import Portal
from midlayer.iscsi.initiator_events import InitiatorTask, TextAnswered
from midlayer.iscsi.initiator_login import Wishes
from midlayer.lower.virtual import UnitSpec
from midlayer.standards.port_groups import AccessState

from .conftest import Serving
from .initiator import INITIATOR, TARGET, Initiator

READ, TUR = bytes.fromhex("28000000000000000100"), bytes(6)
DESIGNATION = bytes.fromhex("12018300ff00")
ISID = bytes.fromhex("80abcdef0001")
STANDBY, CHANGED = (2, 0x04, 0x0B), (6, 0x2A, 0x06)

Connect = Callable[[int], Initiator]


def code(task: InitiatorTask) -> tuple[int, ...]:
    return (task.sense[2] & 15, task.sense[12], task.sense[13]) if task.status else ()


@pytest.fixture
def connect(serving: Serving) -> Connect:
    """Log in through the portal of a group; every session has the same name and ISID."""
    states = (AccessState.ACTIVE_OPTIMIZED, AccessState.STANDBY)
    serving.driver.plug(serving.host, UnitSpec(lun=7, size=1 << 20, alua=states))
    serving.add(portals=["127.0.0.1:0", "[::1]:0,2"], lun=[{"lun": 0, "device": "0:0:0:7"}])
    portals = {portal.group: portal for portal in serving.server.portals(TARGET)}

    def log_in(group: int) -> Initiator:
        portal = portals[group]
        return serving.connect(portal.port, Wishes(INITIATOR, TARGET, isid=ISID), host=portal.host)

    return log_in


@pytest.mark.parametrize(
    ("text", "group", "written"),
    [("127.0.0.1:3260,1", 1, "127.0.0.1:3260"), ("[::1],65535", 65535, "[::1]:3260,65535")],
)
def test_text(text: str, group: int, written: str) -> None:
    portal = Portal.parse(text)
    assert (portal.group, str(portal)) == (group, written)


def test_each_group_has_its_state(serving: Serving, connect: Connect) -> None:
    first, second = connect(1), connect(2)
    assert first.run(READ, length=512).status == 0
    assert code(second.run(READ, length=512)) == STANDBY
    serving.find("0:0:0:7").hostdata.set_access_state(2, AccessState.ACTIVE_NON_OPTIMIZED)
    for path in (first, second):
        assert code(path.run(TUR)) == CHANGED
        assert path.run(READ, length=512).status == 0


def test_the_same_port_through_two_groups_has_two_sessions(serving: Serving, connect: Connect) -> None:
    first, second = connect(1), connect(2)
    assert [session.portal_group for session in serving.server.sessions()] == [1, 2]
    ports = []
    for path in (first, second):
        page = path.run(DESIGNATION, length=255)
        assert page.data_in is not None
        ports.append(bytes(page.data_in[: page.received_bytes]).count(bytes((1, 0x14, 0, 4, 0, 0, 0, 1))))
    assert ports == [1, 0]
    connect(2)
    assert second.ended(), "a third one takes the place of the second"
    assert first.run(TUR).status == 0


def test_discovery_names_the_groups(serving: Serving, connect: Connect) -> None:
    first, second = serving.server.portals(TARGET)
    discovery = serving.connect(first.port, Wishes(INITIATOR))
    discovery.iscsi.send_targets()
    answer = discovery.until(lambda event: isinstance(event, TextAnswered))
    assert isinstance(answer, TextAnswered)
    assert answer.pairs[1:] == [
        ("TargetAddress", f"127.0.0.1:{first.port},1"),
        ("TargetAddress", f"[::1]:{second.port},2"),
    ]
