"""The configuration: what it gives, and file, line and key of every mistake."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from midlayer.errors import ConfigError
from midlayer.frontends.config import OWN_HOSTS_FROM, Config, load, parse

ROOT = Path(__file__).parents[3]


class Mistake(NamedTuple):
    """A wrong text, and what the error has to say."""

    text: str
    line: int
    key: str
    says: str


HOST = '[[host]]\ndriver = "virtual"\n'
MISTAKES = {
    "unknown table": Mistake("[demon]\n", 1, "demon", "did you mean daemon? known keys are "),
    "unknown key": Mistake("[log]\n\nkeep = 3\n", 3, "log.keep", "there is no such key; did you mean keep_"),
    "fault as a table": Mistake("[fault]\nlost = true", 1, "fault", "write [[fault]], once for each fault"),
    "unknown key of a fault": Mistake("[[fault]]\nopcod = 3", 2, "fault.opcod", "did you mean opcode?"),
    "a fault that does nothing": Mistake("[[fault]]\n[[fault]]", 1, "fault", "the rule does nothing; write"),
    "value of the second fault": Mistake(
        "[[fault]]\nlost = true\n[[fault]]\ntimes = 1\nstatus = 'WELL'",
        5,
        "fault.status",
        "'WELL' must be one",
    ),
    "two faults of a name": Mistake(
        '[[fault]]\nname = "a"\nlost = true\n' * 2, 5, "fault.name", "'a' is the name of another fault"
    ),
    "unknown key of a host": Mistake(HOST + 'nmae = "x"', 3, "host.nmae", "did you mean name?"),
    "unknown key of a unit": Mistake(HOST + "[[host.unit]]\nlun = 1\nsise = 3", 5, "host.unit.sise", "size?"),
    "nothing is near": Mistake(
        "[daemon]\nqqq = 1", 2, "daemon.qqq", "such key; known keys are listen, socket"
    ),
    "key of the kernel's hosts": Mistake('[[host]]\ndriver="linux"\nname="x"', 3, "host.name", "no such key"),
    "no driver": Mistake("\n[[host]]\n", 2, "host.driver", 'is missing; write driver = "virtual"'),
    "unknown driver": Mistake(
        '[[host]]\ndriver = "vitual"', 2, "host.driver", "'vitual' is not known; write"
    ),
    "a twin without a file": Mistake(
        '[[host]]\ndriver = "twin"\n[[host.unit]]\nlun = 3\n', 3, "host.unit.twin", "is missing; write twin ="
    ),
    "a twin that is not there": Mistake(
        '[[host]]\ndriver = "twin"\n[[host.unit]]\ntwin = "/no/such.json"\n',
        4,
        "host.unit.twin",
        "No such file",
    ),
    "a session without a target": Mistake(
        '[[host]]\ndriver = "iscsi"\nportal = "192.0.2.1"\n',
        1,
        "host.target",
        "is missing; write the target's",
    ),
    "a session with a wrong portal": Mistake(
        '[[host]]\ndriver = "iscsi"\ntarget = "iqn.2026-11.io.x:y"\nportal = ":1"\n',
        4,
        "host.portal",
        "':1' must be an address and a port",
    ),
    "host as a table": Mistake('[host]\ndriver = "virtual"', 1, "host", "write [[host]], once for each host"),
    "hosts as numbers": Mistake("host = [1]\n", 1, "host", "write [[host]]"),
    "unit as a table": Mistake(HOST + "[host.unit]\nlun = 1\n", 3, "host.unit", "write [[host.unit]]"),
    "units as numbers": Mistake(HOST + "unit = [1]\n", 3, "host.unit", "write [[host.unit]]"),
    "units": Mistake(HOST + "[[host.units]]\n", 3, "host.units", "write [[host.unit]], once for each unit"),
    "third unit of the second host": Mistake(
        HOST + "[[host.unit]]\nlun=0\n" + HOST + "[[host.unit]]\nlun=0\n" * 2 + "[[host.unit]]\nlun='x'\n",
        12,
        "host.unit.lun",
        "'x' must be a number from 0 to",
    ),
    "inline tables": Mistake(
        HOST + "unit = [{lun = 0}, {lun = 1, size = 'big'}]", 3, "host.unit.size", "'big' is not a size"
    ),
    "inline hosts": Mistake('host = [\n {driver="virtual", x=1}\n]', 1, "host.x", "there is no such key"),
    "inline table over lines": Mistake(
        "log = {keep_events = -1}", 1, "log.keep_events", "-1 must be a number"
    ),
    "dotted key": Mistake("daemon.listen = 5", 1, "daemon.listen", "5 must be an address and a port"),
    "quoted key": Mistake('[daemon]\n"listen" = "x"', 2, "daemon.listen", "such as 127.0.0.1:8649"),
    "quoted table": Mistake('["log"]\nkeep_events = true', 2, "log.keep_events", "True must be a number"),
    "table twice": Mistake("[log]\n[log]\n", 2, "", "not TOML: Cannot declare ('log',) twice"),
    "key twice": Mistake(
        "[log]\nkeep_events=1\nkeep_events=2\n", 3, "", "not TOML: Cannot overwrite a value"
    ),
    "no value": Mistake("[log]\nkeep_events =\n", 2, "", "not TOML: Invalid value"),
    "end of file": Mistake("[log]\nkeep_events = [1,\n", 2, "", "not TOML: "),
    "nesting": Mistake("x = " + "[" * 5000, 0, "", "nested too deeply"),
    "socket": Mistake("[daemon]\nsocket = 5", 2, "daemon.socket", "5 must be a path in quotes"),
    "empty path": Mistake('[daemon]\nstate = ""', 2, "daemon.state", "'' must be a path in quotes"),
    "port": Mistake('[daemon]\nlisten = "[::1]:65536"', 2, "daemon.listen", "must be an address and a port"),
    "table as a number": Mistake("log = 5", 1, "log", "write a table: [log]"),
    "quirk": Mistake('[subsystem]\nquirks = ["Acme"]', 2, "subsystem.quirks", "Acme"),
    "quirks": Mistake("[subsystem]\nquirks = [1]", 2, "subsystem.quirks", "must be a list of texts"),
    "same unit twice": Mistake(
        HOST + "[[host.unit]]\n[[host.unit]]\n", 3, "host.unit", "two units at channel 0"
    ),
    "agent without a command": Mistake(
        '[[agent]]\nname = "x"', 1, "agent.command", 'is missing; write command = ["/etc'
    ),
    "agent with a shell line": Mistake(
        '[[agent]]\ncommand = "a b"', 2, "agent.command", "must be a list of texts"
    ),
    "agent with an empty program": Mistake(
        '[[agent]]\ncommand = [""]', 2, "agent.command", "has an empty program"
    ),
    "agent's time": Mistake(
        '[[agent]]\ncommand = ["a"]\ntimeout_s = inf', 3, "agent.timeout_s", "inf must be seconds"
    ),
    "agent's only": Mistake(
        '[[agent]]\ncommand = ["a"]\nonly = "add"', 3, "agent.only", 'write "attach" or "detach"'
    ),
    "agent's key": Mistake(
        '[[agent]]\ncommand = ["a"]\ntimeout = 3', 3, "agent.timeout", "did you mean timeout_s?"
    ),
    "two agents of one name": Mistake(
        '[[agent]]\ncommand = ["/a/x"]\n[[agent]]\ncommand = ["/b/x"]', 3, "agent.name", "a name of its own"
    ),
    "agents as a list": Mistake("[[agents]]\n", 1, "agents", "write a table: [agents]"),
    "agent as a table": Mistake("[agent]\n", 1, "agent", "write [[agent]], once for each"),
    "agents at once": Mistake("[agents]\nat_once = 0", 2, "agents.at_once", "number from 1 to 256"),
    "rule that means all": Mistake(
        "\n[[quarantine]]\naction = 'hold'", 2, "quarantine", "this rule means every device; give"
    ),
    "rule's action": Mistake(
        "[[quarantine]]\nvendor = 'A'\naction = 'keep'", 3, "quarantine.action", "'keep': write \"hold\" or"
    ),
    "rule's qualifier": Mistake("[[quarantine]]\nqualifier = '2b'", 2, "quarantine.qualifier", "000b"),
    "rule's type": Mistake("[[quarantine]]\ntype = 'disc'", 2, "quarantine.type", "disk"),
    "rule's text": Mistake("[[quarantine]]\nmodel = 5", 2, "quarantine.model", "5 must be text in quotes"),
    "second rule's time": Mistake(
        "[[quarantine]]\nvendor = 'A'\n[[quarantine]]\nvendor = 'B'\nprobe_s = 0",
        5,
        "quarantine.probe_s",
        "0 must be seconds",
    ),
    "same host twice": Mistake(
        (HOST + "host_no = 4\n") * 2, 6, "host.host_no", "4 is the number of another host"
    ),
    "unit beyond the host": Mistake(
        HOST + "max_id = 1\n[[host.unit]]\ntarget = 1\n", 4, "host.unit", "beyond what the host addresses"
    ),
    "wrong type of a flag": Mistake(
        HOST + "[[host.unit]]\nthin = 'maybe'", 4, "host.unit.thin", "true or false"
    ),
    "wrong type of a text": Mistake(HOST + "name = 5", 3, "host.name", "5 must be text in quotes"),
    "long vendor": Mistake(
        HOST + "[[host.unit]]\nvendor = 'A vendor of nine'", 4, "host.unit.vendor", "at most 8 printable"
    ),
    "qualifier": Mistake(
        HOST + "[[host.unit]]\nqualifier='8'", 4, "host.unit.qualifier", "one of 000b, 001b"
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake(case: str) -> None:
    mistake = MISTAKES[case]
    with pytest.raises(ConfigError) as found:
        parse(mistake.text, file="m.toml")
    error = found.value
    assert (error.file, error.line, error.key) == ("m.toml", mistake.line, mistake.key)
    assert mistake.says in str(error)
    place = f"m.toml:{mistake.line}: " if mistake.line else "m.toml: "
    assert str(error).startswith(place + (f"{mistake.key}: " if mistake.key else ""))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file or directory"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "latin.toml"
    file.write_bytes(b'[daemon]\n\nsocket = "/tmp/M\xfcller"\n')
    with pytest.raises(ConfigError, match="byte 26 is not UTF-8") as found:
        load(file)
    assert found.value.line == 3


def test_nothing_at_all_is_a_configuration() -> None:
    assert parse("") == Config()


def test_everything(tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    file.write_text(
        '[daemon]\nsocket = "m.sock"\nlisten = "[::1]:8649"\nstate = "/var/x"\n'
        "[log]\nkeep_events = 5\nkeep_detached = 0\n"
        '[subsystem]\nfirst_host_no = 7\nquirks = ["Acme:RAID:0x240"]\n'
        '[[host]]\ndriver = "linux"\n'
        '[[host]]\ndriver = "virtual"\nname = "a"\nhost_no = 3\n'
        '[[host.unit]]\nfile = "disk.img"\nsize = "1M"\ncount = 1\n'
        '[[fault]]\nname = "a"\nlost = true\n'
    )
    config = load(file)
    assert (config.socket, config.state) == (tmp_path / "m.sock", Path("/var/x")), "relative to the file"
    assert config.listen == ("::1", 8649)
    assert (config.keep_events, config.keep_detached, config.first_host_no) == (5, 0, 7)
    assert (config.kernel, config.quirks) == (True, ("Acme:RAID:0x240",))
    assert [rule.name for rule in config.faults] == ["a"]
    (host,) = config.virtual_hosts
    assert (host.name, host.host_no, host.units[0].file) == ("a", 3, tmp_path / "disk.img")


def test_virtual_hosts_stay_clear_of_the_kernels() -> None:
    assert parse('[[host]]\ndriver = "linux"\n').first_host_no == OWN_HOSTS_FROM
    assert parse('[[host]]\ndriver = "virtual"\n').first_host_no == 0


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("[!s]*.toml")), ids=lambda file: file.name)
def test_examples_are_right(file: Path) -> None:
    assert load(file).virtual_hosts


def test_a_file_is_the_same_by_a_relative_and_by_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = HOST + "[[host.unit]]\nfile = 'disk.img'\nsize = '1M'\n[[agent]]\ncommand = ['./agent']\n"
    (tmp_path / "m.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert load(Path("m.toml")) == load(tmp_path / "m.toml"), "else a reload would see changes"
    assert load(Path("m.toml")).agents[0].command == (str(tmp_path / "agent"),)
