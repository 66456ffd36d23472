"""Every verb as a program against a daemon that is another process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .program import Running, Up, environment, run

DISK, READ_ONLY, STANDBY, TAPE = "0:0:0:0", "0:0:0:1", "0:0:0:2", "0:0:1:0"
READ_10 = ["28", *["00"] * 7, "01", "00"]
WRITE_10 = ["2a", *["00"] * 7, "01", "00"]

PRINTS: dict[str, tuple[list[str], list[str]]] = {
    "attached": (["attached"], ["ADDRESS  TYPE", "0:0:0:0  disk", "001b  sg2", "4 devices, event count"]),
    "a range": (["attached", "--offset", "1", "--limit", "1"], ["0:0:0:1", "1 device, event count"]),
    "hosts": (["hosts"], ["HOST  DRIVER   NAME", "0     virtual  program's array"]),
    "events": (["events", "--since", "1"], ["attach       0:0:0:0      sg0 disk MIDLAYER Disk 0001"]),
    "status": (["status"], ["version: 0.1.0", "devices: 4"]),
    "inq": (
        ["inq", DISK],
        ["qualifier: 000b", "type name: Direct-Access", "model: Disk", "  00000  00 00 06"],
    ),
    "inq of a standby": (["inq", STANDBY], ["qualifier: 001b", "but none is connected now"]),
    "vpd": (["vpd", DISK], ["VPD page 00h: supported VPD pages", "VPD page b2h: logical block provisioning"]),
    "one page": (["vpd", "--page", "0x80", DISK], ["VPD page 80h: unit serial number\n  serial: ML"]),
    "luns": (["luns", DISK], ["3 LUNs", "  0001000000000000  1       peripheral lun 1"]),
    "readcap": (
        ["readcap", DISK],
        ["2048 blocks of 512 bytes: 1048576 bytes, 1 MiB", "address: 2047 (0x7ff)"],
    ),
    "turs": (["turs", "sg0"], ["ready\n"]),
    "map": (["map"], ["/dev/sg0\n/dev/sg1\n"]),
    "map -i -x": (["map", "-i", "-x"], ["/dev/sg0  0 0 0 0  0  MIDLAYER  Disk              0001\n"]),
    "modes": (["modes", DISK], ["write protected: no", "mode page 08h: caching", "  wce: yes"]),
    "opcodes": (
        ["opcodes", DISK],
        ["28h             10     READ(10)", "9eh     10h     16     READ CAPACITY(16)"],
    ),
    "one mode page": (["modes", "--page", "0a", DISK], ["mode page 0ah: control\n"]),
    "logs": (["logs", DISK], ["log page 0dh: temperature\n  temperature: 30 °C\n", "log page 2fh: "]),
    "list of log pages": (["logs", "--page", "0", DISK], ["  temperature: supported\n"]),
    "persist": (["persist", DISK], ["generation: 0\nitems: none\n"]),
    "persist --in reservation": (["persist", "--in", "reservation", DISK], ["reserved: no\n"]),
    "persist --in caps": (["persist", "--in", "caps", DISK], ["  exclusive access, registrants only\n"]),
    "turs -n": (["turs", "-n", "50", "-t", DISK], ["50 commands in ", " a second"]),
    "capture": (
        ["capture", DISK, "-o", "/dev/null"],
        ["MIDLAYER Disk 0001: ", " answers, serials as captured"],
    ),
    "raw": (["raw", DISK, *READ_10, "-r", "512"], [f"{DISK} READ(10) lba=0 blocks=1: GOOD", "000f0  "]),
    "rescan --plan": (["rescan", "--plan"], ["nothing to do"]),
    "rescan": (["rescan", "0"], ["nothing changed"]),
}


@pytest.mark.parametrize("case", PRINTS)
def test_prints(up: Up, case: str) -> None:
    arguments, expected = PRINTS[case]
    done = up.run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    for text in expected:
        assert text in done.stdout
    assert "\x1b" not in done.stdout
    assert json.loads(up.run(*arguments, "--json").stdout)


FAILS: dict[str, tuple[list[str], int, str]] = {
    "no such device": (["inq", "9:0:0:0"], 15, "9:0:0:0: no device is attached at this address"),
    "no such node": (["turs", "sg77"], 15, "sg77: no attached device has this node; see midlayer attached"),
    "not a device": (["inq", "disk"], 1, "'disk' does not name a device; write 2:0:1:0, /dev/sg3"),
    "path of ours": (["inq", "/dev/sg0815"], 52, "/dev/sg0815: no such node"),
    "standby": (["readcap", STANDBY], 5, "ILLEGAL REQUEST, logical unit not supported (5/25/00)"),
    "no capacity": (["readcap", TAPE], 9, "invalid command operation code (5/20/00)"),
    "no such log page": (["logs", "--page", "30", DISK], 5, "invalid field in CDB (5/24/00)"),
    "no type": (["persist", DISK, "--out", "reserve"], 1, "persist: --type is needed for reserve"),
    "no key": (["persist", DISK, "--out", "clear"], 24, "RESERVATION CONFLICT"),
    "no key in hexadecimal": (["persist", DISK, "--key", "x"], 1, "'x' is not a key of 64 bits"),
    "no such page": (["vpd", "--page", "c0", DISK], 5, "invalid field in CDB (5/24/00)"),
    "from another log": (["events", "--since", "99999"], 1, "event count 99999 is beyond the last one"),
    "unknown option": (["plug", "virtual:disk?sise=1M"], 1, "did you mean size?"),
    "taken": (["plug", "virtual:disk?lun=1"], 15, "0:0:0:1"),
    "no host": (["plug", "virtual:disk", "--host", "7"], 15, "host 7: there is no such host"),
    "nothing to plug": (["plug"], 1, "plug: name a DEVICE such as virtual:disk?size=1G, or say --new-host"),
    "nothing to unplug": (["unplug"], 1, "unplug: name one DEVICE, or one host with --host N"),
    "both to unplug": (["unplug", DISK, "--host", "0"], 1, "unplug: name one DEVICE, or one host"),
    "no CDB": (["raw", DISK, "xy"], 1, "'xy' is not a CDB in hexadecimal"),
    "short CDB": (["raw", DISK, "00", "00"], 1, "a CDB has 6 to 260 bytes, this one has 2"),
    "both ways": (["raw", DISK, *READ_10, "-r", "1", "-s", "1"], 1, "a command moves data one way"),
    "no input": (["raw", DISK, *WRITE_10, "-i", "/no/file"], 1, "/no/file: No such file or directory"),
    "no time": (["raw", DISK, *READ_10, "-t", "0"], 1, "not a number of seconds"),
    "no number": (["turs", "-n", "x", DISK], 1, "'x' is not a number from 0 up"),
    "no verb": (["explode"], 1, "there is no 'explode'"),
}


@pytest.mark.parametrize("case", FAILS)
def test_fails(up: Up, case: str) -> None:
    arguments, status, says = FAILS[case]
    done = up.run(*arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("midlayer")
    assert says in done.stderr


RAW: dict[str, tuple[str, int, str]] = {
    "good": ("00 00 00 00 00 00", 0, "TEST UNIT READY: GOOD"),
    "short digits": ("0 0 0 0 0 0", 0, "TEST UNIT READY: GOOD"),
    "unknown opcode": ("ff 00 00 00 00 00", 9, "(5/20/00)"),
    "beyond the end": ("28 00 00 ff ff ff 00 00 01 00", 22, "(5/21/00)"),
    "invalid field": ("12 02 00 00 24 00", 5, "(5/24/00)"),
    "too long": ("7f" + " 00" * 39, 35, "DID_ABORT"),
}


@pytest.mark.parametrize("case", RAW)
def test_raw_says_how_a_command_ended(up: Up, case: str) -> None:
    cdb, status, says = RAW[case]
    done = up.run("raw", DISK, *cdb.split())
    assert done.returncode == status
    assert says in done.stdout
    answer = up.json("raw", DISK, *cdb.split(), status=status)
    assert says.strip("()") in answer["outcome"] + answer["sense_text"] or answer["outcome"] == "GOOD"


def test_raw_writes_and_reads_files(up: Up, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(bytes(range(256)) * 3)
    assert up.run("raw", DISK, *WRITE_10, "-s", "512", "-i", source).returncode == 0
    read = up.run("raw", DISK, *READ_10, "-r", "1024", "-o", target)
    assert target.read_bytes() == source.read_bytes()[:512]
    assert read.stdout.splitlines()[1:] == ["residual: 512 bytes were not transferred"]
    short = up.run("raw", DISK, *WRITE_10, "-s", "1024", "-i", source)
    assert (short.returncode, "has 768 bytes, --send asks for 1024" in short.stderr) == (1, True)


def test_raw_reads_standard_input(up: Up) -> None:
    assert up.run("raw", DISK, *WRITE_10, "-i", "-", stdin=b"\x5a" * 512).returncode == 0
    assert up.json("raw", DISK, *READ_10, "-r", "512")["data"] == "5a" * 512


def test_a_write_protected_disk(up: Up) -> None:
    done = up.run("raw", READ_ONLY, *WRITE_10, "-s", "512")
    assert done.returncode == 7
    assert "DATA PROTECT, write protected (7/27/00)" in done.stdout
    assert "sense: 7" in done.stdout


def test_offline_and_online(up: Up) -> None:
    assert up.run("offline", TAPE).stdout == f"{TAPE} is offline\n"
    refused = up.run("inq", TAPE)
    assert (refused.returncode, refused.stderr) == (
        35,
        f"midlayer: {TAPE} INQUIRY length=36: DID_NO_CONNECT\n",
    )
    assert up.run("turs", "-n", "3", TAPE).returncode == 35
    assert f"{TAPE}  tape" in up.run("attached").stdout
    assert up.run("online", TAPE).stdout == f"{TAPE} is running\n"
    assert up.run("inq", TAPE).returncode == 0


def test_plug_and_unplug(up: Up) -> None:
    count = up.json("status")["event_count"]
    plugged = up.run("plug", "virtual:disk?size=2M&serial=HELLO")
    assert plugged.stdout == f"0:0:0:3 attached, event count {count + 1}\n"
    assert up.run("unplug", "0:0:0:3").stdout == f"0:0:0:3 detached, event count {count + 2}\n"
    detached = up.run("detached", "--limit", "1").stdout
    assert f"HELLO   {count + 1}" in detached


def test_hosts_come_and_go(up: Up) -> None:
    done = up.run("plug", "--new-host", "--name", "another", "virtual:tape")
    assert done.stdout.splitlines()[0] == "host 1 added"
    assert done.stdout.splitlines()[1].startswith("1:0:0:0 attached, event count ")
    assert up.run("unplug", "--host", "1").stdout.startswith("host 1 removed, event count ")


def test_follow(up: Up) -> None:
    count = up.json("status")["event_count"]
    follow = Running("events", "--follow", "--json", "--since", str(count), "--socket", up.socket)
    up.run("plug", "virtual:disk?size=1M&lun=8")
    up.run("unplug", "0:0:0:8")
    follow.wait_for('"event": "detach"')
    follow.send(2)
    assert follow.end() == 130
    events = [json.loads(line) for line in follow.lines]
    assert [(event["event"], event["event_count"]) for event in events] == [
        ("attach", count + 1),
        ("detach", count + 2),
    ]


def test_without_a_daemon(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "m.sock")
    done = run("attached", MIDLAYER_SOCKET=nowhere)
    assert done.returncode == 15
    assert done.stderr == (
        f"midlayer: {nowhere}: no daemon answers here (No such file or directory); "
        "start one with: midlayer up\n"
    )
    kernel = run("inq", "4242:0:0:0", MIDLAYER_SOCKET=nowhere)
    assert (kernel.returncode, "no daemon runs" in kernel.stderr) == (69, True)
    virtual = run("readcap", "virtual:disk?size=4M&block_size=4096", "--json", MIDLAYER_SOCKET=nowhere)
    assert json.loads(virtual.stdout)["blocks"] == 1024


def test_the_socket_of_the_environment(up: Up) -> None:
    assert run("turs", DISK, MIDLAYER_SOCKET=str(up.socket)).returncode == 0


@pytest.mark.parametrize("verb", [[], ["up"], ["events"], ["plug"], ["raw"]])
def test_help(verb: list[str]) -> None:
    done = run(*verb, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: {' '.join(['midlayer', *verb])}")
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


@pytest.mark.parametrize("arguments", [["--version"], ["turs", "virtual:disk"], ["attached"]])
def test_a_command_imports_only_what_it_needs(up: Up, arguments: list[str]) -> None:
    code = (
        "import sys; from midlayer.frontends.cli.main import main\n"
        "try: main(sys.argv[1:])\nfinally: print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=environment(MIDLAYER_SOCKET=str(up.socket)),
    )
    imported = set(done.stdout.splitlines()[-1].split())
    if arguments == ["attached"]:
        imported.discard("rich")  # for its table
    heavy = {"httpx", "rich", "fastapi", "pydantic", "uvicorn", "asyncio", "sqlite3", "midlayer.lower.linux"}
    assert "midlayer.frontends" in imported
    assert imported & heavy == set()


def test_nothing_asked() -> None:
    done = run()
    assert (done.returncode, "\nAsk a device:\n" in done.stdout) == (1, True)
    assert run("--version").stdout == "midlayer 0.1.0\n"
