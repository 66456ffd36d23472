"""udev rules carried out by the daemon: RUN, links, quarantine, reload, storms."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from midlayer.errors import ConfigError, DeviceUrlError
from midlayer.frontends.config import load
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.daemon.rule_effects import NodeRights, carry_out_writes
from midlayer.mid.subsystem import Subsystem
from midlayer.rules import PlainView, RuleSet
from midlayer.upper.scsimon import Event, Kind

from .program import Up
from .test_json_shapes import EXAMPLES
from .test_policy import wait_for_agents

SOON_S = 90.0
CONFIG = """
[rules]
directories = ["rules.d"]

[[host]]
driver = "virtual"

[[host.unit]]
vendor = "ACME"
product = "Good disk"
serial = "ONE"
size = "1M"

[[host.unit]]
lun = 1
vendor = "ACME"
product = "Not mapped"
qualifier = "001b"
"""

Begin = Callable[..., Daemon]


def write(directory: Path, **files: str) -> Path:
    """Write rule files, ``50_a`` as ``50-a.rules``, and return the configuration's file."""
    (directory / "rules.d").mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / "rules.d" / f"{name.lstrip('r').replace('_', '-')}.rules").write_text(text)
    file = directory / "m.toml"
    if not file.exists():
        file.write_text(CONFIG)
    return file


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start a daemon in this process on rule files."""
    started: list[Daemon] = []

    def start(*, state: Path | None = None, **files: str) -> Daemon:
        daemon = Daemon(load(write(tmp_path, **files)), state)
        daemon.policy.runner.variables = {"MIDLAYER_SOCKET": "/none"}
        started.append(daemon)
        daemon.start()
        settle(daemon)
        return daemon

    yield start
    for daemon in started:
        daemon.stop()


def settle(daemon: Daemon) -> None:
    """Wait until rules and what they name have run for all events, those that they cause included."""
    before = -1
    while before != daemon.scsimon.event_count:
        before = daemon.scsimon.event_count
        assert daemon.policy.runner.wait_idle(SOON_S)


def events(daemon: Daemon, kind: Kind) -> list[Event]:
    return [event for event in daemon.scsimon.events(0).events if event.kind is kind]


def runs(daemon: Daemon) -> list[tuple[int, str, int | None]]:
    """Return what ran: event count, name, status."""
    found = daemon.policy.runner.runs_of(1, daemon.scsimon.event_count)
    return [(count, run.agent, run.status) for count, ran in found.items() for run in ran]


def addresses(daemon: Daemon) -> list[str]:
    return [record.address for record in daemon.scsimon.snapshot().attached]


def test_a_program_runs_in_order_with_the_properties_and_without_a_shell(
    begin: Begin, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    tell = tmp_path / "tell"
    tell.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "shown = [os.environ[key] for key in ('ACTION', 'MY', 'SEQNUM', 'MIDLAYER_ATTACH_COUNT')]\n"
        f"print(*sys.argv[1:], *shown, sep='|', file=open({str(out)!r}, 'a'))\n"
    )
    tell.chmod(0o755)
    text = (
        'SUBSYSTEM=="scsi_generic", ATTRS{vendor}=="ACME*", ENV{MY}="$(reboot);", '
        f'RUN+="{tell} first $kernel", RUN+="{tell} \'se cond\' $tempnode"\n'
    )
    daemon = begin(r50_a=text)
    daemon.unplug("sg0")
    settle(daemon)
    lines = [line.split("|") for line in out.read_text().splitlines()]
    mine = [line for line in lines if "sg0" in line[1]]
    assert mine == [
        ["first", "sg0", "add", "$(reboot);", "2", "2"],
        ["se cond", "/dev/sg0", "add", "$(reboot);", "2", "2"],
        ["first", "sg0", "remove", "$(reboot);", "4", "2"],
        ["se cond", "/dev/sg0", "remove", "$(reboot);", "4", "2"],
    ]
    assert [name for count, name, _ in runs(daemon) if count == 2] == [
        "50-a.rules:1 tell sg0",
        "50-a.rules:1 tell sg0 #2",
    ]


def test_change_and_trigger_are_events_as_well(begin: Begin) -> None:
    daemon = begin(r50_a='SUBSYSTEM=="scsi", ENV{DEVTYPE}=="scsi_device", RUN{builtin}+="log $env{ACTION}"\n')
    daemon.set_state("sg0", "offline")
    daemon.policy.trigger("remove", device=daemon.find("sg0"))
    settle(daemon)
    count = daemon.scsimon.event_count
    assert [run[0] for run in runs(daemon)] == [2, 3, count - 1, count]
    assert {status for _, _, status in runs(daemon)} == {0}


def test_trigger_by_what_rules_gave(start_up: Callable[..., Up], tmp_path: Path) -> None:
    rule = 'KERNEL=="sg0", ENV{MINE}="yes", TAG+="mine", SYMLINK+="my", RUN{builtin}+="log $env{ACTION}"\n'
    write(tmp_path, r50_a=rule)
    up = start_up(config=CONFIG).ready()
    wait_for_agents(up, 3)
    done = up.run("trigger", "--verbose", "--settle", "--property-match=MINE=y*", "--sysname-match=sg[0-9]")
    assert done.stdout.splitlines() == ["/sys/devices/midlayer/host0/target0:0:0/0:0:0:0/scsi_generic/sg0"]
    (event,) = up.json("events", "--since", "3")["items"]
    assert [run["status"] for run in event["agents"]] == [0], "settled: it has run by now"
    assert up.run("trigger", "-n", "-v", "--property-match=MINE=no").stdout == ""
    assert up.run("trigger", "-n", "-v", "--sysname-match=sg*", "--tag-match=mine").stdout == done.stdout
    assert up.run("trigger", "-n", "-v", "--name-match=/dev/my").stdout == done.stdout
    assert up.run("trigger", "-n", "-v", "--name-match=my2").stdout == ""
    assert up.run("trigger", "-n", "-v", "--tag-match=mine", "--tag-match=yours").stdout == ""


def test_log_is_a_line_of_the_log(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    begin(r50_a='SUBSYSTEM=="scsi_generic", RUN{builtin}+="log $kernel is here"\n')
    assert "0:0:0:0: sg0 is here (" in caplog.text
    assert "50-a.rules:1)" in caplog.text


def test_the_wrong_qualifier_is_removed(begin: Begin) -> None:
    example = Path(__file__).parents[3] / "examples" / "rules" / "60-wrong-qualifier.rules"
    daemon = begin(r60_q=example.read_text())
    assert addresses(daemon) == ["0:0:0:0"]
    assert [event.address for event in events(daemon, Kind.DETACH)] == ["0:0:0:1"]
    assert {status for _, _, status in runs(daemon)} == {0}


def test_a_device_in_use_is_not_removed(begin: Begin) -> None:
    daemon = begin(r50_a='ACTION=="change", SUBSYSTEM=="scsi_generic", RUN{builtin}+="scsi_remove_device"\n')
    device = daemon.find("sg0")
    device.get()
    daemon.policy.trigger("change")
    settle(daemon)
    assert addresses(daemon) == ["0:0:0:0"]
    assert sorted(status for _, _, status in runs(daemon)) == [0, 1]
    device.put()


def test_offline_and_rescan(begin: Begin) -> None:
    text = (
        'SUBSYSTEM=="scsi_generic", ATTR{peripheral_qualifier}=="1", RUN{builtin}+="offline", '
        'RUN{builtin}+="rescan", RUN{builtin}+="rescan 0:0:0:7", RUN{builtin}+="rescan nowhere"\n'
    )
    daemon = begin(r50_a=text)
    assert daemon.find("0:0:0:1").state.value == "offline"
    assert daemon.find("0:0:0:0").state.value == "running"
    assert [status for count, _, status in runs(daemon) if count == 3] == [0, 0, 0, 1]


def test_quarantine_is_there_before_anybody_sees_the_device(begin: Begin) -> None:
    text = 'SUBSYSTEM=="scsi", ATTR{peripheral_qualifier}=="1", RUN{builtin}+="quarantine not mapped"\n'
    daemon = begin(r50_a=text)
    assert [event.address for event in events(daemon, Kind.ATTACH)] == ["0:0:0:0"]
    (entry,) = daemon.policy.quarantine.list()
    assert str(entry.address) == "0:0:0:1"
    assert str(entry.rule).endswith("50-a.rules:1: not mapped")


def test_quarantine_by_a_rule_on_the_node_stays(begin: Begin) -> None:
    text = 'KERNEL=="sg1", ATTR{peripheral_qualifier}=="1", RUN{builtin}+="quarantine"\n'
    daemon = begin(r50_a=text)
    assert [event.address for event in events(daemon, Kind.DETACH)] == ["0:0:0:1"]
    (entry,) = daemon.policy.quarantine.list()
    daemon.policy.quarantine._ask(entry)
    assert len(daemon.policy.quarantine.list()) == 1, "the rule still means it"
    assert len(events(daemon, Kind.ATTACH)) == 2, "it does not come and go"


def test_a_failure_in_rules_does_not_hold_up_a_scan(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    daemon = begin(r50_a='SUBSYSTEM=="scsi", RUN{builtin}+="log $kernel"\n')

    def fail(*_: object, **__: object) -> Any:
        raise OSError("sysfs is gone")

    monkeypatch.setattr(daemon.policy.rules, "_applied", fail)
    assert daemon.plug("virtual:disk?lun=5&size=1M", None).admitted
    assert "0:0:0:5: rules could not be applied" in caplog.text
    settle(daemon)


def test_an_action_does_not_touch_who_came_later(begin: Begin) -> None:
    daemon = begin(r50_a='ACTION=="change", SUBSYSTEM=="scsi_generic", RUN{builtin}+="offline"\n')
    rules = daemon.policy.rules
    old = rules.device_of("0:0:0:0", "2")
    daemon.unplug(str(old.address))
    daemon.plug("virtual:disk?lun=0&size=1M", None)
    with pytest.raises(Exception, match="not the device any more that event 2 attached"):
        rules.device_of("0:0:0:0", "2")


def test_a_device_that_is_gone_is_known_from_its_event(begin: Begin) -> None:
    match = 'SUBSYSTEM=="scsi_generic", ATTR{peripheral_qualifier}=="1", ATTRS{vendor}=="ACME*"'
    daemon = begin(r50_a=f'ACTION=="remove", {match}, RUN+="/bin/true $kernel"\n')
    daemon.unplug("sg1")
    settle(daemon)
    assert runs(daemon) == [(4, "50-a.rules:1 true sg1", 0)]
    (event,) = events(daemon, Kind.DETACH)
    (job,) = daemon.policy.rules.plan(event)
    (again,) = daemon.policy.rules._apply(job.arguments)  # as after a restart: nothing else is left of it
    assert again.argv == ("/bin/true", "sg1")


def test_links_are_names_of_the_device(begin: Begin) -> None:
    text = (
        'SUBSYSTEM=="scsi_generic", ATTRS{vpd/serial}=="ONE", SYMLINK+="boot_disk disk/me/ONE"\n'
        'SUBSYSTEM=="scsi_generic", KERNEL=="sg1", SYMLINK+="boot_disk", OPTIONS+="link_priority=-5"\n'
    )
    daemon = begin(r50_a=text)
    assert daemon.policy.rules.links("0:0:0:0", 2) == ("boot_disk", "disk/me/ONE")
    for name in ("boot_disk", "/dev/boot_disk", "disk/me/ONE", "/dev/disk/me/ONE"):
        assert str(daemon.find(name).address) == "0:0:0:0"
    daemon.unplug("boot_disk")
    settle(daemon)
    assert str(daemon.find("boot_disk").address) == "0:0:0:1", "the one that has it now"
    daemon.plug("virtual:disk?lun=5&size=1M&serial=ONE", None)
    settle(daemon)
    assert str(daemon.find("boot_disk").address) == "0:0:0:5", "wherever it is plugged"
    with pytest.raises(DeviceUrlError):
        daemon.find("disk/me/TWO")


def test_a_device_of_an_earlier_daemon_has_its_links(begin: Begin) -> None:
    daemon = begin(r50_a='SUBSYSTEM=="scsi_generic", KERNEL=="sg0", SYMLINK+="boot_disk"\n')
    daemon.policy.rules._known.clear()
    daemon.policy.rules.learn()
    assert daemon.policy.rules.links("0:0:0:0", 2) == ("boot_disk",)


def test_a_mistake_keeps_the_daemon_from_starting(tmp_path: Path) -> None:
    file = write(tmp_path, r50_a='KERNEL=="sg0", RUN{builtin}+="explode"\n')
    with pytest.raises(ConfigError, match=r"50-a\.rules:1: no built-in command 'explode'"):
        Daemon(load(file), None)


def test_reload_reads_rules_again(begin: Begin, tmp_path: Path) -> None:
    daemon = begin(r50_a='SUBSYSTEM=="scsi_generic", RUN{builtin}+="log one"\n')
    write(tmp_path, r50_a='\nSUBSYSTEM=="scsi_generic", RUN{builtin}+="explode"\n')
    with pytest.raises(ConfigError, match=r"50-a\.rules:2: no built-in command"):
        daemon.policy.reload()
    daemon.policy.trigger("change", device=daemon.find("sg0"))
    settle(daemon)
    assert [name for _, name, _ in runs(daemon)][-1] == "50-a.rules:1 log sg0", "the old rule works"
    text = '\n\nSUBSYSTEM=="scsi", ATTR{peripheral_qualifier}=="1", RUN{builtin}+="quarantine"\n'
    write(tmp_path, r50_a=text)
    assert daemon.policy.reload()["rules"] == 1
    assert addresses(daemon) == ["0:0:0:0"], "a reload looks at devices that are there"
    write(tmp_path, r50_a="# nothing\n")
    assert daemon.policy.reload()["rules"] == 0
    for _ in range(600):
        if len(addresses(daemon)) == 2:
            break
        daemon.scsimon.wait(daemon.scsimon.event_count, 0.05)
    assert len(addresses(daemon)) == 2, "no rule means it any more"


def test_rules_that_come_with_a_reload(begin: Begin, tmp_path: Path) -> None:
    daemon = begin(r50_a="")
    assert daemon.policy.runner._thread is None, "without rules nothing runs"
    write(tmp_path, r50_a='SUBSYSTEM=="scsi_generic", RUN{builtin}+="log $kernel"\n')
    daemon.policy.reload()
    daemon.unplug("sg0")
    settle(daemon)
    assert runs(daemon) == [(4, "50-a.rules:1 log sg0", 0)], "for what comes from then on"


def test_a_restart_goes_on_with_what_is_left(begin: Begin, tmp_path: Path) -> None:
    daemon = begin(
        r50_a='SUBSYSTEM=="scsi_generic", RUN+="/bin/true", RUN+="/bin/false"\n', state=tmp_path / "s"
    )
    plan = daemon.policy.rules.plan
    (event,) = [event for event in daemon.scsimon.events(0).events if event.event_count == 2]
    (job,) = plan(event)
    jobs = daemon.policy.rules._apply(job.arguments)
    runner = daemon.policy.runner
    runner._already.add((2, 0, jobs[0].name))
    assert list(runner._new(jobs)) == jobs[1:], "what an earlier daemon recorded does not run again"


def test_a_storm_with_twenty_rule_files(begin: Begin, tmp_path: Path) -> None:
    """400 plugs and unplugs: each event meets all rules, in order for each device, and none is lost."""
    match = 'SUBSYSTEM=="scsi_generic", KERNEL=="sg[0-9]*", ATTRS{vendor}=="ACME*"'
    files = {f"r{number}_f": f'{match}, ENV{{N{number}}}="$kernel"\n' for number in range(50, 69)}
    files["r90_log"] = f'{match}, ENV{{N68}}=="?*", RUN{{builtin}}+="log $env{{ACTION}}"\n'
    daemon = begin(**files)
    order: dict[str, list[int]] = defaultdict(list)
    log = daemon.policy.runner._actions.by_name["log"]

    def noted(words: tuple[str, ...]) -> Any:
        order[words[0]].append(int(words[1]) * 2 + (words[3] == "remove"))
        return log(words)

    daemon.policy.runner.add_action("log", noted)
    before = daemon.scsimon.event_count
    for _ in range(50):
        for lun in range(10, 14):
            daemon.plug(f"virtual:disk?lun={lun}&size=1M&vendor=ACME", None)
        for lun in range(10, 14):
            daemon.unplug(f"0:0:0:{lun}")
    settle(daemon)
    ran = [count for count, _, status in runs(daemon) if count > before and status == 0]
    told = [event.event_count for event in daemon.scsimon.events(before).events]
    assert len(told) == 400
    assert sorted(ran) == told, "one run for each event"
    for seen in order.values():
        assert seen == sorted(seen)
        assert len(seen) == 100


SCRIPT = """#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
[ "$ACTION" = "remove" ] && exit 0
echo "$ACTION $1 $2 $MIDLAYER_QUALIFIER"
[ "$MIDLAYER_QUALIFIER" = "001b" ] || exit 0
exec {program} unplug --socket "$MIDLAYER_SOCKET" "$MIDLAYER_ADDRESS"
"""


def test_the_rule_and_the_script_of_the_document(start_up: Callable[..., Up], tmp_path: Path) -> None:
    """A script for every sg node, which removes the devices with qualifier 001b."""
    script = tmp_path / "sg-test.sh"
    script.write_text(SCRIPT.format(program=f"{sys.executable} -m midlayer"))
    script.chmod(0o755)
    rule = f'SUBSYSTEM=="scsi_generic", KERNEL=="sg[0-9]*", RUN+="{script} $tempnode $kernel"\n'
    write(tmp_path, r50_test_sg=rule)
    up = start_up(config=CONFIG).ready()
    wait_for_agents(up, 4)
    assert [item["address"] for item in up.json("attached")["items"]] == ["0:0:0:0"]
    ran = {event["event_count"]: event.get("agents", []) for event in up.json("events")["items"]}
    assert ran[2][0]["output"] == "add /dev/sg0 sg0 000b\n"
    assert ran[3][0]["output"].startswith("add /dev/sg1 sg1 001b\n")
    assert [run["status"] for count in (2, 3, 4) for run in ran[count]] == [0, 0, 0]


def test_names_on_the_command_line(start_up: Callable[..., Up], tmp_path: Path) -> None:
    text = 'SUBSYSTEM=="scsi_generic", ATTRS{vpd/serial}=="ONE", SYMLINK+="boot_disk disk/by-me/1"\n'
    write(tmp_path, r50_a=text)
    up = start_up(config=CONFIG).ready()
    wait_for_agents(up, 3)
    answer = up.json("attached")
    assert answer["items"][0]["links"] == ["boot_disk", "disk/by-me/1"]
    assert list(answer["items"][0]) == list(EXAMPLES["midlayer attached --json"]["items"][0])
    assert "boot_disk" in up.run("info", "-q", "symlink", "sg0").stdout
    assert "boot_disk" not in up.run("info", "-q", "symlink", "sg1").stdout
    assert up.json("inq", "boot_disk")["model"] == "Good disk"
    assert up.json("inq", "disk/by-me/1")["model"] == "Good disk"
    for name in ("/dev/disk/by-me/1", "/dev/boot_disk"):
        assert up.json("inq", name)["model"] == "Good disk", "a path that is nowhere else"
        assert up.run("info", "-q", "path", name).stdout.startswith("/devices/midlayer/host0/target0:0:0/")
    copied = up.run("dd", "if=/dev/disk/by-me/1", f"of={tmp_path / 'copy'}", "count=1")
    assert copied.returncode == 0, copied.stderr
    assert up.run("inq", "root_disk").returncode == 1
    assert up.run("inq", "/dev/disk/by-me/2").returncode == 15
    assert up.run("verify", "boot_disk").returncode == 0
    (tmp_path / "rules.d" / "50-a.rules").write_text('KERNEL=="sg0", RUN{builtin}+="explode"\n')
    failed = up.run("reload")
    assert failed.returncode == 1
    assert "50-a.rules:1: no built-in command 'explode'" in failed.stderr


def test_attributes_are_written_once(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    text = (
        'SUBSYSTEM=="scsi", ENV{DEVTYPE}=="scsi_device", ATTR{queue_depth}="3", ATTR{eh_timeout}="7"\n'
        'KERNEL=="sg0", ATTR{device/none}="1", SYSCTL{kernel/none/such}="1"\n'
    )
    daemon = begin(r50_a=text)
    device = daemon.find("sg0")
    assert (device.queue_depth, device.eh_timeout_s) == (3, 7.0)
    changes = [event for event in events(daemon, Kind.CHANGE) if event.address == "0:0:0:0"]
    assert [event.data["changes"] for event in changes] == [{"queue_depth": "3"}], "and no end of changes"
    assert "/proc/sys/kernel/none/such can not be set to 1: No such file" in caplog.text


def test_an_attribute_can_take_a_device_away(begin: Begin) -> None:
    daemon = begin(r50_a='ATTR{peripheral_qualifier}=="1", SUBSYSTEM=="scsi", ATTR{delete}="1"\n')
    assert addresses(daemon) == ["0:0:0:0"]


def test_kernel_parameters_are_written(tmp_path: Path) -> None:
    """Into a file here: the machine's own are not a test's."""
    parameter = tmp_path / "parameter"
    parameter.write_text("0\n")
    outcome = RuleSet.of_texts({"a.rules": 'SYSCTL{x}="17"\n'}).apply(
        PlainView(devpath="/devices/x", subsystem="x"), "add"
    )
    write = outcome.writes[0]._replace(path=str(parameter))
    carry_out_writes(Subsystem(), replace(outcome, writes=(write,)))
    assert parameter.read_text() == "17"


def test_who_makes_nodes_hears_whose_they_are(begin: Begin) -> None:
    daemon = begin(r50_a='KERNEL=="sg0", OWNER="0", GROUP="0", MODE="0640"\n')
    heard: list[NodeRights] = []
    daemon.policy.rules.watch_rights(heard.append)
    assert heard == [NodeRights("sg0", 0, 0, 0o640)]
    daemon.set_state("sg0", "offline")
    settle(daemon)
    assert heard == [NodeRights("sg0", 0, 0, 0o640)] * 2
