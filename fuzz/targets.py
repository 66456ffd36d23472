"""What is fuzzed, from which inputs, and which exceptions are the documented ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from midlayer.device_url import parse_device_url
from midlayer.errors import ConfigError, UsageError
from midlayer.frontends.config import parse as parse_config
from midlayer.frontends.dd.log import read_lines
from midlayer.frontends.dd.operands import parse as parse_dd
from midlayer.frontends.scenario.reader import parse as parse_scenario
from midlayer.iscsi.codes import NO_TAG
from midlayer.iscsi.errors import IscsiError
from midlayer.iscsi.initiator import InitiatorConnection
from midlayer.iscsi.initiator_login import Wishes
from midlayer.iscsi.login import Identity
from midlayer.iscsi.pdu import DataIn, LoginRequest, LoginResponse, ScsiCommand, TextRequest, with_lengths
from midlayer.iscsi.target import MAX_IMMEDIATE, WINDOW, TargetConnection
from midlayer.iscsi.target_login import Access
from midlayer.iscsi.task import Task
from midlayer.iscsi.text import decode as decode_text
from midlayer.layout import LayoutError
from midlayer.lower.filters import FaultRule, Player, Recording
from midlayer.lower.linux.uevent import UeventError
from midlayer.lower.linux.uevent import parse as parse_uevent
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.lower.virtual.type_keys import Place
from midlayer.mid.partition import gpt_array, gpt_partitions, partsize
from midlayer.mid.subsystem import Subsystem
from midlayer.rules import PlainView, RuleSet
from midlayer.rules import parse as parse_rules
from midlayer.standards import mmc, mode, ses, smc, vpd
from midlayer.standards.log_pages import LogPage, describe
from midlayer.standards.opcodes import describe_cdb
from midlayer.standards.reservations import decode_full_status
from midlayer.standards.sense import Sense, fixed_sense
from midlayer.standards.spc import StandardInquiry, decode_lun_list
from midlayer.standards.ssc import DensityDescriptor, decode_density_support, encode_density_support
from midlayer.twin import parse_twin
from midlayer.upper.sg import execute

_MOST_OUTPUT_BYTES = 1 << 22
EXAMPLES = Path(__file__).parent.parent / "examples"


class _IscsiPolicy:
    def admit(self, identity: Identity) -> Access:
        return Access()

    def begin(self, identity: Identity) -> int:
        return 1

    def send_targets(self, identity: Identity, name: str) -> list[tuple[str, str]]:
        return [("TargetName", "iqn.2026-11.io.example:target")] * 100


class Target(NamedTuple):
    """One parser: what takes the bytes, what may come out besides a value, where mutation starts."""

    run: Callable[[bytes], object]
    allowed: tuple[type[Exception], ...]
    seeds: list[bytes]


def _sense(data: bytes) -> str:
    return str(Sense.decode(data))


def _config(data: bytes) -> object:
    return parse_config(data.decode(errors="replace"))


def _twin(data: bytes) -> object:
    return parse_twin(data.decode(errors="replace")).capacity


def _device_url(data: bytes) -> object:
    return parse_device_url(data.decode(errors="replace"))


def _uevent(data: bytes) -> object:
    event = parse_uevent(data)
    return event.address, event.kind, event.host_no


_NODE = PlainView(
    devpath="/devices/x/sg0", subsystem="scsi_generic", devnode="/dev/sg0", devnum=(21, 0),
    attributes={"vendor": b"A;$(x)\xff\n"},
)  # fmt: skip


def _rules(data: bytes) -> object:
    file = parse_rules(data)
    return [str(mistake) for mistake in file.mistakes], RuleSet([file]).apply(_NODE).to_json()


_DISKS = (
    VirtualDriver(Subsystem())
    .add_host(
        HostSpec(
            units=(
                UnitSpec(lun=0, size=1 << 16, thin=True),
                UnitSpec(lun=1, type=5, size=1 << 16, block_size=2048),
                UnitSpec(lun=2, type=13, slots=2),
                UnitSpec(lun=3, type=1, size=1 << 16),
                UnitSpec(lun=4, type=8, slots=2, cartridges=("A",), drives=(Place(0, 0, 3),)),
            )
        )
    )
    .devices()
)


_CONFIGURATION = ses.decode_configuration(
    ses.encode_configuration(1, ses.EnclosureDescriptor(), [(0x17, 2, "Slots"), (4, 1, "T")])
)


def _enclosure(data: bytes) -> object:
    """A page of any of the kinds: the first byte says which."""
    match data[:1]:
        case b"\x01":
            return list(ses.decode_configuration(data).places())
        case b"\x07":
            return ses.decode_descriptors(data)
        case b"\x0a":
            return ses.decode_additional(data)
    return ses.decode_elements(data, 2, _CONFIGURATION)


def _scenario(data: bytes) -> object:
    return parse_scenario(data.decode(errors="replace"))


def _fault(data: bytes) -> object:
    words = (word.partition("=")[::2] for word in data.decode(errors="replace").split("|"))
    return FaultRule.from_mapping(dict(words)).to_mapping()


def _recording(data: bytes) -> object:
    return Player(Recording.parse(data.decode(errors="replace").splitlines())).left()


def _command(data: bytes) -> None:
    """First byte: which disk, and which way the data goes; then 16 bytes of CDB; the rest is data."""
    device = _DISKS[data[0] % len(_DISKS)] if data else _DISKS[0]
    cdb, rest = data[1:17], data[17:]
    if data and data[0] & 0x80:
        execute(device, cdb, data_out=rest)
    else:
        execute(device, cdb, data_in=len(rest))


def _partitions(data: bytes) -> object:
    """66 bytes of a master boot record, 92 of a GPT header, then entries."""
    place = gpt_array(data[66:158])
    return partsize(data[:66], 1 << 24), place and gpt_partitions(data[158:], place)


def _iscsi_target(data: bytes) -> None:
    """First byte: 0 before the login, 1 in a normal session, 2 in a discovery session.

    Every second task is left unanswered, and what a peer can make the target keep has a bound.
    """
    target = TargetConnection(_IscsiPolicy(), bytes)
    if data and data[0] % 3:
        name = "" if data[0] % 3 == 2 else "iqn.2026-11.io.example:target"
        initiator = InitiatorConnection(Wishes("iqn.2026-11.io.example:initiator", name), bytes)
        data = b"".join(map(bytes, initiator.take_output())) + data[1:]
    events = 0
    while data and not target.closed:
        data = data[target.reader.feed(data) :]
        while (event := target.next_event()) is not None:
            events += 1
            if isinstance(event, Task) and events % 2:
                target.respond(event, 0, data=bytes(min(event.expected_bytes, 512)) if event.read else b"")
        assert target.output_bytes < _MOST_OUTPUT_BYTES
        assert len(target.tasks) <= WINDOW + MAX_IMMEDIATE
        target.take_output()


def _iscsi_initiator(data: bytes) -> None:
    names = "iqn.2026-11.io.example:initiator", "iqn.2026-11.io.example:target"
    initiator = InitiatorConnection(Wishes(*names), bytes)
    while data and not initiator.closed:
        data = data[initiator.reader.feed(data) :]
        while initiator.next_event() is not None:
            pass


TARGETS: dict[str, Target] = {
    "uevent": Target(
        _uevent,
        (UeventError,),
        [
            b"add@/devices/pseudo_0/adapter0/host0/target0:0:0/0:0:0:0\0ACTION=add\0"
            b"DEVPATH=/devices/pseudo_0/adapter0/host0/target0:0:0/0:0:0:0\0SUBSYSTEM=scsi\0"
            b"DEVTYPE=scsi_device\0MODALIAS=scsi:t-0x00\0SEQNUM=1072\0",
            b"change@/x\0ACTION=change\0DEVPATH=/x\0SUBSYSTEM=block\0MAJOR=8\0SEQNUM=1\0",
        ],
    ),
    "rules": Target(_rules, (), [path.read_bytes() for path in sorted((EXAMPLES / "rules").glob("*.rules"))]),
    "config": Target(_config, (ConfigError,), [(EXAMPLES / "default.toml").read_bytes()]),
    "fault": Target(
        _fault,
        (UsageError,),
        [
            b"name=a|device=2:0:*:0|opcode=READ;0xc1|lba=8-15|sense=3/11/00|times=1|delay=p50=1ms p99=2s",
            b"unit_attention=29/00|initiator=iqn.*|after=2s|lasts=1m|probability=1%|seed=7",
        ],
    ),
    "scenario": Target(_scenario, (ConfigError,), [(EXAMPLES / "scenario.toml").read_bytes()]),
    "recording": Target(
        _recording,
        (UsageError,),
        [
            b'{"midlayer_recording": 1, "begun": ""}\n'
            b'{"device": "0:0:0:0", "inquiry": "0000", "vpd": {"80": "00"}}\n'
            b'{"n": 1, "device": "0:0:0:0", "at_s": 0.1, "initiator": "local", "cdb": "000000000000", '
            b'"out": null, "in_length": 4, "in": {"base64": "AAAA"}, "status": 0, "host_byte": 0, '
            b'"sense": "", "residual": 1, '
            b'"duration_s": 0.1}\n',
        ],
    ),
    "device-url": Target(
        _device_url,
        (UsageError,),
        [b"2:0:1:0", b"/dev/sg3", b"virtual:disk?size=1G&lun=3", b"iscsi://[::1]:3260/iqn.x/0"],
    ),
    "twin": Target(
        _twin,
        (ConfigError,),
        [
            b'{"midlayer_twin": 1, "answers": [{"cdb": "120000000000", "data": "000006025b00"},'
            b' {"cdb": "25000000000000000000", "data": "00000fff00000200"}]}'
        ],
    ),
    "iscsi-target": Target(
        _iscsi_target,
        (),
        [
            b"\0"
            + with_lengths(LoginRequest(immediate=True, transit=True, csg=1, nsg=3).encode(), 4)
            + b"A=1\0",
            b"\1" + ScsiCommand(final=True, read=True, expected_data_transfer_length=512).encode(),
            b"\1"
            + ScsiCommand(final=True, write=True, expected_data_transfer_length=512).encode()
            + bytes(512),
            b"\2" + TextRequest(immediate=True, final=True, target_transfer_tag=NO_TAG).encode(),
        ],
    ),
    "iscsi-initiator": Target(
        _iscsi_initiator,
        (IscsiError,),
        [LoginResponse(transit=True, csg=1, nsg=3, tsih=1).encode() + DataIn().encode()],
    ),
    "iscsi-text": Target(decode_text, (IscsiError,), [b"InitiatorName=iqn.x\0MaxBurstLength=0x100\0"]),
    "dd-operands": Target(
        lambda data: parse_dd(data.decode(errors="replace").split()),
        (UsageError,),
        [b"if=sg1 of=- bs=4k count=0x10 skip=2x3 iflag=dpo,fua oflag=sparse time=1,20 verify resume=log"],
    ),
    "dd-log": Target(
        read_lines, (), [b'{"format": "midlayer dd 1"}\n{"done": 5, "unreadable": [1], "unwritten": []}\n']
    ),
    "sense": Target(
        _sense,
        (),
        [fixed_sense(3, 0x11, information=0x1234), bytes.fromhex("720524000000000c020680008fc0000000000000")],
    ),
    "cdb-text": Target(
        describe_cdb, (), [bytes.fromhex("28000000123400000800"), bytes.fromhex("7f" + "00" * 31)]
    ),
    "inquiry": Target(StandardInquiry.decode, (LayoutError,), [bytes.fromhex("00000602" + "00" * 92)]),
    "vpd": Target(
        vpd.decode_page,
        (LayoutError,),
        [bytes.fromhex("008300080103000833330000000000d0"), b"\0\x80\0\4abcd"],
    ),
    "mode": Target(
        lambda data: mode.decode_mode_sense(data, True), (LayoutError,), [bytes(8) + b"\x0a\x0a" + bytes(10)]
    ),
    "partitions": Target(
        _partitions,
        (),
        [
            bytes.fromhex("8001010083fe3f033f000000c5fa0000")
            + bytes(48)
            + b"\x55\xaaEFI PART"
            + bytes(64)
            + bytes.fromhex("02000000000000000400000080000000")
            + bytes(4)
            + bytes(range(256)) * 2
        ],
    ),
    "enclosure": Target(
        _enclosure,
        (LayoutError,),
        [
            ses.encode_configuration(1, ses.EnclosureDescriptor(), [(0x17, 2, "Slots"), (4, 1, "T")]),
            ses.encode_page(2, 1, bytes(28)),
            ses.encode_descriptors(1, ["", "Slot 01", "Slot 02"]),
            ses.encode_page(10, 1, bytes.fromhex("1622010101010000") + bytes(28)),
        ],
    ),
    "cd-configuration": Target(
        mmc.decode_configuration,
        (LayoutError,),
        [bytes.fromhex("00000014000000080000030400080100001e090400000000")],
    ),
    "cd-toc": Target(
        mmc.decode_toc, (LayoutError,), [bytes.fromhex("0012010100140100000000000014aa00000000b0")]
    ),
    "element-status": Target(
        smc.decode_element_status,
        (LayoutError,),
        [
            smc.encode_element_status(
                {
                    2: [smc.Element(kind=2, status=smc.ElementDescriptor(full=True))] * 2,
                    4: [smc.Element(kind=4, status=smc.ElementDescriptor(), device="A drive")],
                },
                tags=True,
                devices=True,
            )
        ],
    ),
    "density-support": Target(
        decode_density_support, (LayoutError,), [encode_density_support([DensityDescriptor(tracks=9)])]
    ),
    "luns": Target(decode_lun_list, (LayoutError,), [bytes.fromhex("0000000800000000" + "0001000000000000")]),
    "log-page": Target(
        lambda data: describe(LogPage.decode(data)),
        (LayoutError,),
        [bytes.fromhex("0d000006" + "00000302001e")],
    ),
    "full-status": Target(
        decode_full_status,
        (LayoutError,),
        [bytes.fromhex("0000000100000030") + bytes(23) + b"\x18" + bytes(24)],
    ),
    "command": Target(
        _command,
        (UsageError,),
        [
            b"\0" + bytes.fromhex("280000000000000008000000000000ff") + bytes(512),
            b"\x80" + bytes.fromhex("2a0000000000000001000000000000ff") + bytes(512),
            b"\0" + bytes.fromhex("1a003f00ff0000000000000000000000") + bytes(255),
            b"\3" + bytes.fromhex("08000002000000000000000000000000") + bytes(512),
            b"\x83" + bytes.fromhex("0a000002000000000000000000000000") + bytes(512),
            b"\4" + bytes.fromhex("b8100000ffff0000ffff000000000000") + bytes(255),
            b"\4" + bytes.fromhex("a5000000040001000000000000000000"),
            b"\1" + bytes.fromhex("46000000000000ffff00000000000000") + bytes(255),
            b"\1" + bytes.fromhex("43020200000000ffff00000000000000") + bytes(255),
            b"\3" + bytes.fromhex("1101ffffff0000000000000000000000"),
            b"\2" + bytes.fromhex("1c010a00ff0000000000000000000000") + bytes(255),
            b"\x82" + bytes.fromhex("1d100000440000000000000000000000") + b"\2\0\0\x40" + bytes(64),
        ],
    ),
}
