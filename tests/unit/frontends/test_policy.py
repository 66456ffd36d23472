"""Policy from the outside: quarantined, verify, guard, trigger, monitor, reload, agents with their events."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from midlayer.frontends.cli.guard import NOT_FOUND, NOT_GUARDED, ROLL_BACK_FAILED, ROLLED_BACK

from .agents.programs import Fifo, python
from .program import MIDLAYER, SOON_S, Running, Up, environment
from .test_json_shapes import EXAMPLES, shape

CONFIG = """
[[host]]
driver = "virtual"
name = "array"

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
HOLD = """
[[quarantine]]
vendor = "ACME"
qualifier = "001b"
action = "hold"
probe_s = 3600
"""


def agent(directory: Path, name: str = "tell", only: str = "") -> str:
    """Return an agent that appends a line to a file, and prints one."""
    code = (
        "import os, sys; assert os.path.exists(os.environ['MIDLAYER_SOCKET']); "
        "words = [os.environ[k] for k in ('ACTION', 'MIDLAYER_ADDRESS', 'SCSI_MODEL')]; "
        f"file = open({str(directory / name)!r}, 'a'); print(*words, file=file); print('told', *words)"
    )
    only = f'only = "{only}"\n' if only else ""
    return f'\n[[agent]]\nname = "{name}"\ncommand = {json.dumps(list(python(code)))}\n{only}'


@pytest.fixture
def policy_up(tmp_path: Path, start_up: Callable[..., Up]) -> Iterator[Callable[..., Up]]:
    def start(config: str) -> Up:
        return start_up(config=config).ready()

    return start


def swap(up: Up, text: str) -> None:
    """Take the unit at LUN 0 out and put another one in: two events, and another attach count."""
    assert up.run("unplug", "0:0:0:0", "--force").returncode == 0
    assert up.run("plug", f"virtual:disk?lun=0&size=1M&{text}").returncode == 0


def wait_for_agents(up: Up, count: int) -> None:
    """Wait until the agents of all events up to a count have run; the daemon says so."""
    from midlayer.frontends.cli.client import Client

    with Client(up.socket) as client:
        end_s = monotonic() + 4 * SOON_S
        while client.get("agents")["position"] < count:
            assert monotonic() < end_s, client.get("agents")
            client.get("wait", since=client.get("status")["event_count"], timeout_s=0.05)


def eventually(look: Callable[[], list[str]], wanted: list[str]) -> None:
    """Wait until what the daemon does after it has answered is done."""
    end_s = monotonic() + SOON_S
    while (seen := look()) != wanted:
        assert monotonic() < end_s, seen


def test_agents_run_and_their_outcome_is_with_the_event(policy_up: Callable[..., Up], tmp_path: Path) -> None:
    up = policy_up(CONFIG + agent(tmp_path) + '\n[[agent]]\ncommand = ["/nowhere/gone"]\nonly = "detach"\n')
    up.run("unplug", "0:0:0:0")
    last = up.json("status")["event_count"]
    wait_for_agents(up, last)
    assert sorted((tmp_path / "tell").read_text().splitlines()) == [
        "add 0:0:0:0 Good disk",
        "add 0:0:0:1 Not mapped",
        "remove 0:0:0:0 Good disk",
    ]
    events = {event["event_count"]: event for event in up.json("events")["items"]}
    tell, gone = events[last]["agents"]
    assert shape([tell]) == shape(EXAMPLES["agents"])
    assert (tell["agent"], tell["outcome"], tell["status"]) == ("tell", "exited", 0)
    assert tell["output"] == "told remove 0:0:0:0 Good disk\n"
    assert (gone["agent"], gone["outcome"], gone["status"]) == ("gone", "not-started", 2)
    text = up.run("events").stdout
    assert "agent  tell  exit status 0 in" in text
    assert "agent  gone  could not be started: No such file or directory, in 0." in text


@pytest.mark.crash
def test_after_kill_9_every_attach_has_had_its_agent(start_up: Callable[..., Up], tmp_path: Path) -> None:
    """Kill the daemon while agents wait and run; the next one goes on, each agent at least once."""
    units = "".join(f"[[host.unit]]\nlun = {lun}\nsize = '1M'\n" for lun in range(40))
    out, gate, hold = tmp_path / "counts", Fifo(str(tmp_path / "gate")), tmp_path / "hold"
    code = (
        "import os\n"
        f"if int(os.environ['SCSI_LUN']) >= 10 and os.path.exists({str(hold)!r}):\n"
        f"    os.read(os.open({gate.path!r}, os.O_RDONLY), 1); os._exit(0)\n"
        f"print(os.environ['SCSI_EVENT_ATTACHED'], file=open({str(out)!r}, 'a'))"
    )
    config = (
        '[[host]]\ndriver = "virtual"\n' + units + "[agents]\nat_once = 2\nqueue = 8\n"
        f"[[agent]]\nname = 'count'\nonly = 'attach'\ncommand = {json.dumps(list(python(code)))}\n"
    )
    hold.touch()
    up = start_up(config=config).ready()
    while not out.exists() or len(out.read_text().splitlines()) < 10:
        assert up.process.poll() is None, up.output
    up.send(signal.SIGKILL)
    up.end()
    early = len(out.read_text().splitlines())
    assert early == 10
    hold.unlink()
    gate.write(b"12")  # the two that wait end as well
    up = start_up(config=config).ready()
    wait_for_agents(up, up.json("status")["event_count"])
    attaches = [event["event_count"] for event in up.json("events")["items"] if event["event"] == "attach"]
    assert len(attaches) == 80
    ran = [int(line) for line in out.read_text().splitlines()]
    assert set(ran) == set(attaches)
    assert len(ran) <= 80 + early, "only those run again that were not yet written down"
    gate.close()


def test_quarantined(policy_up: Callable[..., Up]) -> None:
    up = policy_up(CONFIG + HOLD)
    assert [item["address"] for item in up.json("attached")["items"]] == ["0:0:0:0"]
    answer = up.json("quarantined")
    assert shape(answer) == shape(EXAMPLES["midlayer quarantined --json"])
    assert list(answer["items"][0]) == list(EXAMPLES["midlayer quarantined --json"]["items"][0])
    (item,) = answer["items"]
    assert (item["address"], item["state"], item["qualifier"]) == ("0:0:0:1", "held", "001b")
    assert item["inquiry"].startswith("20")
    shown = up.run("quarantined").stdout
    assert "Not mapped" in shown
    assert "001b" in shown
    assert up.run("quarantined", "--probe", "0:0:0:1").returncode == 0
    assert up.json("quarantined")["items"][0]["probes"] <= 1
    failed = up.run("quarantined", "--probe", "0:0:0:0")
    assert failed.returncode == 15
    assert "not in quarantine" in failed.stderr
    assert up.run("verify", "0:0:0:1").returncode == 15
    assert up.run("inq", "0:0:0:1").returncode == 0, "it can be asked, by its address"
    last = up.json("status")["event_count"] + 1
    assert (
        up.run("unplug", "0:0:0:1").stdout == f"0:0:0:1 removed, and out of quarantine, event count {last}\n"
    )
    assert up.json("events", "--since", str(last - 1))["items"][0]["event"] == "released"


def test_verify(policy_up: Callable[..., Up]) -> None:
    up = policy_up(CONFIG)
    everything = up.json("verify")["items"]
    assert [(item["address"], item["verdict"]) for item in everything] == [
        ("0:0:0:0", "same"),
        ("0:0:0:1", "same"),
    ]
    assert everything[0]["identity"]["serial"] == "ONE"
    done = up.run("verify", "sg0")
    assert done.returncode == 0
    assert done.stdout.split()[:2] == ["0:0:0:0", "same"]
    assert up.run("verify", "0:0:0:9").returncode == 15
    up.run("offline", "0:0:0:0")
    done = up.run("verify", "0:0:0:0")
    assert done.returncode == 2
    assert "no-answer" in done.stdout


def guard(up: Up, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MIDLAYER, "guard", "--socket", str(up.socket), *words],
        capture_output=True,
        text=True,
        timeout=SOON_S,
        check=False,
        env=environment(),
    )


def test_guard(policy_up: Callable[..., Up], tmp_path: Path) -> None:
    up = policy_up(CONFIG)
    undone = tmp_path / "undone"
    roll_back = f"--rollback=touch '{undone}'"
    done = guard(
        up, "sg0", roll_back, "--", "sh", "-c", 'echo "$MIDLAYER_ADDRESS $SCSI_EVENT_ATTACHED"; exit 7'
    )
    assert (done.returncode, done.stdout) == (7, "0:0:0:0 2\n"), "the command's own status"
    assert not undone.exists()
    assert guard(up, "sg0", roll_back, "--", "sh", "-c", "kill -9 $$").returncode == 128 + 9
    assert guard(up, "sg0", "--", "/nowhere").returncode == NOT_FOUND
    assert guard(up, "0:0:0:7", "--", "true").returncode == NOT_GUARDED
    assert guard(up, "sg0").returncode == 1
    assert guard(up, "sg0", "--rollback", "'", "--", "true").returncode == 1
    assert guard(up, "sg0", "--surprise", "--", "true").returncode == 1

    program = " ".join(MIDLAYER)
    swap_it = (
        f"{program} unplug --socket {up.socket} 0:0:0:0 && "
        f"{program} plug --socket {up.socket} 'virtual:disk?lun=0&size=1M&serial=TWO'"
    )
    done = guard(up, "sg0", roll_back, "--", "sh", "-c", swap_it)
    assert done.returncode == ROLLED_BACK
    assert "attached by event" in done.stderr
    assert undone.exists()
    back = swap_it.replace("TWO", "ONE")
    assert guard(up, "0:0:0:0", "--rollback", "false", "--", "sh", "-c", back).returncode == ROLL_BACK_FAILED
    done = guard(up, "0:0:0:0", "--", "sh", "-c", swap_it)
    assert done.returncode == ROLLED_BACK
    assert "nothing was undone" in done.stderr


def test_guard_rolls_back_when_nobody_can_say(policy_up: Callable[..., Up], tmp_path: Path) -> None:
    up = policy_up(CONFIG)
    undone = tmp_path / "undone"
    command = f"kill {up.process.pid}; while test -S {up.socket}; do :; done"
    done = guard(up, "sg0", f"--rollback=touch {undone}", "--", "sh", "-c", command)
    assert done.returncode == ROLLED_BACK, done.stderr
    assert "nobody can say" in done.stderr
    assert undone.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_guard_hands_signals_on(policy_up: Callable[..., Up], tmp_path: Path, number: signal.Signals) -> None:
    up = policy_up(CONFIG)
    begun = Fifo(str(tmp_path / "begun"))
    code = (
        f"import os, signal, sys\nsignal.pthread_sigmask(signal.SIG_BLOCK, [{int(number)}])\n"
        f"os.write(os.open({begun.path!r}, os.O_WRONLY), b'1')\n"
        f"sys.exit(33 if signal.sigwait([{int(number)}]) else 34)"
    )
    running = Running("guard", "--socket", up.socket, "sg0", "--", *python(code))
    begun.read()
    running.send(number)
    assert running.end() == 33
    begun.close()


def test_trigger(policy_up: Callable[..., Up], tmp_path: Path) -> None:
    up = policy_up(CONFIG + agent(tmp_path) + agent(tmp_path, "attached-only", "attach"))
    wait_for_agents(up, 3)
    (tmp_path / "tell").unlink()
    (tmp_path / "attached-only").unlink()
    before = up.json("status")["event_count"]
    lun, sg = "/sys/devices/midlayer/host0/target0:0:0/0:0:0:0", "scsi_generic/sg0"
    fits = ("--subsystem-match=scsi_generic", "--attr-match=model=Good*")
    done = up.run("trigger", "--dry-run", "--verbose", *fits)
    assert done.stdout.splitlines() == [f"{lun}/{sg}"]
    done = up.run("trigger", "--dry-run", "--verbose", "--attr-match", "serial=ONE", "0:0:0:0")
    assert done.stdout.splitlines() == [lun, f"{lun}/{sg}"]
    assert up.run("trigger", "-n", "-v", "--subsystem-match=block").stdout == ""
    assert up.run("trigger", "-n", "-v", "--attr-match=model=Bad").stdout == ""
    assert up.run("trigger", "-n", "-v", "--attr-match=nonsense").stdout == ""
    named = up.run("trigger", "-n", "-v", "--sysname-match=sg*", "--attr-nomatch=model=Good*")
    assert named.stdout.splitlines() == ["/sys/devices/midlayer/host0/target0:0:0/0:0:0:1/scsi_generic/sg1"]
    for node in ("/dev/sg0", "sg0"):
        assert up.run("trigger", "-n", "-v", f"--name-match={node}").stdout.splitlines() == [f"{lun}/{sg}"]
    assert up.run("trigger", "-n", "-v", "--name-match=0:0:0:0", "--name-match=sg*").stdout == ""
    assert up.run("trigger", "-n", "-v", "--subsystem-nomatch=scsi*").stdout == ""
    below = up.run("trigger", "-n", "-v", "-y", "sg*", "-b", "/sys/devices/midlayer/host0/target0:0:0/")
    assert below.stdout.splitlines() == [f"{lun[:-1]}{each}/scsi_generic/sg{each}" for each in (0, 1)]
    assert up.run("trigger", "-n", "-v", "--parent-match=0:0:0:0").stdout.splitlines() == [lun, f"{lun}/{sg}"]
    assert up.run("trigger", "-n", "-v", "--parent-match=host1").stdout == ""
    assert up.run("trigger", "-n", "-v", "--property-match=ID_SERIAL=*").stdout == "", "no rule gave any"
    assert up.json("status")["event_count"] == before, "a dry run changes nothing"
    assert up.run("trigger", "--action=explode").returncode == 1

    assert up.run("trigger", "--action=add", "sg0").returncode == 0
    assert up.run("trigger", "--action=remove", "sg0").returncode == 0
    assert up.run("trigger", "sg0").returncode == 0
    wait_for_agents(up, before + 3)
    words = [line.split()[0] for line in (tmp_path / "tell").read_text().splitlines()]
    assert words == ["add", "remove", "change"]
    assert (tmp_path / "attached-only").read_text() == "add 0:0:0:0 Good disk\n"
    events = up.json("events", "--since", str(before))["items"]
    assert [(event["event"], event["action"], event["attach_count"]) for event in events] == [
        ("trigger", "add", 2),
        ("trigger", "remove", 2),
        ("trigger", "change", 2),
    ]
    assert len(up.json("attached")["items"]) == 2, "nothing came or went"


def test_monitor(policy_up: Callable[..., Up]) -> None:
    up = policy_up(CONFIG)
    plain = Running("monitor", "--socket", up.socket)
    detailed = Running("monitor", "--property", "--subsystem-match=scsi_generic", "--socket", up.socket)
    for each in (plain, detailed):
        each.wait_for("MIDLAYER - the event log")
    lines = []
    while "change" not in plain.output or "change" not in detailed.output:  # until both follow
        assert (plain.process.poll(), detailed.process.poll()) == (None, None)
        up.run("trigger", "0:0:0:0")
    swap(up, "serial=$(reboot)&product=a;b")
    up.run("unplug", "0:0:0:1")
    detailed.wait_for("remove   /devices/midlayer/host0/target0:0:0/0:0:0:1/scsi_generic/sg1")
    up.stop()
    for each in (plain, detailed):
        assert each.end() == 15
    lines = [line.split("] ", 1)[1] for line in plain.lines if line.startswith("MIDLAYER[")]
    lun = "/devices/midlayer/host0/target0:0:0/0:0:0:0"
    assert f"change   {lun} (scsi)" in lines
    at = lines.index(f"remove   {lun}/scsi_generic/sg0 (scsi_generic)")
    assert lines[at : at + 4] == [
        f"remove   {lun}/scsi_generic/sg0 (scsi_generic)",
        f"remove   {lun} (scsi)",
        f"add      {lun} (scsi)",
        f"add      {lun}/scsi_generic/sg0 (scsi_generic)",
    ]
    assert "(scsi)" not in detailed.output
    for text in ("ACTION=add", "SUBSYSTEM=scsi_generic", "DEVNAME=sg0", "SCSI_MODEL=a;b",
                 "MIDLAYER_SERIAL=$(reboot)", "SEQNUM="):  # fmt: skip
        assert text in detailed.output


def test_reload(policy_up: Callable[..., Up], tmp_path: Path) -> None:
    up = policy_up(CONFIG)
    file = up.directory / "m.toml"
    file.write_text(CONFIG + HOLD + agent(tmp_path) + "[log]\nkeep_events = 5\n")
    answer = up.json("reload")
    shown = up.run("reload").stdout
    assert shown.startswith(f"{file}: 1 agent, 1 quarantine rule, 0 udev rules in force\n")
    assert list(answer) == list(EXAMPLES["midlayer reload --json"])
    found = {"agents": 1, "quarantine": 1, "rules": 0}
    assert answer == {"file": str(file), **found, "after_restart": ["keep_events"]}
    eventually(lambda: [item["address"] for item in up.json("quarantined")["items"]], ["0:0:0:1"])
    up.run("unplug", "0:0:0:0")
    last = up.json("status")["event_count"]
    wait_for_agents(up, last)
    assert "remove 0:0:0:0 Good disk" in (tmp_path / "tell").read_text()

    file.write_text(CONFIG + "[[quarantine]]\nvendor = 'ACME'\naction = 'keep'\n")
    failed = up.run("reload")
    assert failed.returncode == 1
    assert f'{file}:19: quarantine.action: \'keep\': write "hold" or "remove"' in failed.stderr
    assert len(up.json("quarantined")["items"]) == 1, "the old rules stay in force"

    up.send(signal.SIGHUP)
    up.wait_for("not reloaded: ")
    file.write_text(CONFIG)
    up.send(signal.SIGHUP)
    since = last
    while up.json("quarantined")["items"]:
        since = up.json("status")["event_count"]
        assert since < last + 100
    eventually(
        lambda: [event["event"] for event in up.json("events", "--since", str(last))["items"]],
        ["released", "attach"],
    )


def test_reload_without_a_file(serving: Any) -> None:
    answer = serving.http.post("reload", json={})
    assert answer.status_code == 400
    assert "started without --config" in answer.json()["error"]


def test_a_rescan_says_who_was_swapped(serving: Any) -> None:
    daemon = serving.daemon
    (host,) = daemon.own_hosts()
    before = daemon.scsimon.event_count
    spec = host.hostdata.units[0, 0][0].spec
    from dataclasses import replace

    daemon.virtual.disconnect(host, 0, 0, 0)
    daemon.virtual._connect(host, host.hostdata, replace(spec, serial="OTHER"))
    plan = serving.http.post("rescan", json={"plan": True}).json()["items"]
    assert plan == [], "a plan changes nothing, and asks nobody who he is"
    items = serving.http.post("rescan", json={}).json()["items"]
    assert [(item["action"], item["address"]) for item in items] == [("replaced", "0:0:0:0")]
    assert "serial" in items[0]["reason"]
    events = serving.http.get("events", params={"since": before}).json()["items"]
    # Its neighbour tells that the LUNs of the target changed, whenever it is asked.
    assert [event["event"] for event in events if event["address"] == "0:0:0:0"] == ["replaced"]
    assert serving.http.post("rescan", json={}).json()["items"] == []


def test_counters_of_the_agents(serving: Any) -> None:
    answer = serving.http.get("agents").json()
    assert answer == {
        "event_count": 3, "configured": 0, "waiting": 0, "running": 0, "position": 3, "agents": [],
    }  # fmt: skip


def test_the_ready_agent(tmp_path: Path) -> None:
    variables = {
        "ACTION": "add", "SCSI_HOST": "4", "SCSI_BUS": "0", "SCSI_TARGET": "1", "SCSI_LUN": "2",
        "SCSI_TYPE": "5", "MIDLAYER_ADDRESS": "4:0:1:2",
    }  # fmt: skip
    shell = Path(__file__).parents[3] / "examples/agents/scsi.agent"

    def run(**more: str) -> list[subprocess.CompletedProcess[str]]:
        return [
            subprocess.run(
                [*command, "scsi"],
                env=environment() | variables | more,
                capture_output=True,
                text=True,
                check=False,
                timeout=SOON_S,
            )
            for command in ([*MIDLAYER[:1], "-m", "midlayer.frontends.agents.scsi"], [str(shell)])
        ]

    for done in run():
        assert done.returncode == 0
        assert done.stdout.startswith("4:0:1:2: sr_mod sg (not")
    for kind, module in (("0", "sd_mod"), ("1", "st"), ("8", "ch"), ("13", "ses"), ("3", "")):
        for done in run(SCSI_TYPE=kind):
            assert done.stdout.split()[1] == (module or "sg")
    for done in run(ACTION="remove"):
        assert (done.returncode, done.stdout) == (0, "")
    assert run(SCSI_TYPE="$(reboot)")[0].returncode == 1
    assert os.access(shell, os.X_OK)
