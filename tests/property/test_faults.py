"""Any rule gives a rule or the documented error; any command through any rules ends as the rules say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from midlayer.errors import ConfigError
from midlayer.frontends.scenario.reader import parse as parse_scenario
from midlayer.lower.filters import FaultRule, RuleError, faults_of
from midlayer.lower.filters.fault.rule import EFFECTS
from midlayer.mid.command import Command, HostByte, Phase
from midlayer.mid.dispatch import submit
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.opcodes import command_name
from midlayer.standards.sbc import Read10, Write10
from midlayer.testing import Answer, FakeClock, ScriptedDriver

KEYS = [*sorted(FaultRule.__slots__), "once", "descriptor_sense"]
TEXTS = st.sampled_from(
    [
        "READ(10)", "read", "0x28", "any", "3/11/00", "medium error", "BUSY", "DID_ERROR", "10-20", "5+8",
        "all", "50ms", "p50=1ms p99=2s", "1ms+-1us", "1%", "2:0:1:0", "*", "abort", "29/00", "011b",
        "lun-gone", "in", "device", "true", "7f" * 40,
    ]
)  # fmt: skip
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), TEXTS, st.binary(max_size=4),
    st.lists(st.one_of(st.integers(), TEXTS), max_size=3),
    st.dictionaries(st.sampled_from(["p50", "p99", "x"]), st.one_of(st.floats(), TEXTS), max_size=2),
)  # fmt: skip


@given(st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=8)), VALUES, max_size=6))
@settings(max_examples=2000)
def test_any_mapping_gives_a_rule_or_the_documented_error(mapping: dict[str, Any]) -> None:
    try:
        rule = FaultRule.from_mapping(mapping)
    except RuleError:
        return
    assert FaultRule.from_mapping(rule.to_mapping()) == rule


TIMEOUT_S = 10.0
COMMANDS = {
    "TEST UNIT READY": (bytes(6), 0),
    "READ(10)": (Read10(logical_block_address=4, transfer_length=2).encode(), 1024),
    "WRITE(10)": (Write10(logical_block_address=9, transfer_length=1).encode(), 512),
}
BLOCKS = {"READ(10)": range(4, 6), "WRITE(10)": range(9, 10)}

matching = st.fixed_dictionaries(
    {},
    optional={
        "opcode": st.lists(st.sampled_from(list(COMMANDS)), min_size=1, max_size=2),
        "lba": st.sampled_from(["0-4", "5", "6-8", "9+100"]),
        "direction": st.sampled_from(["in", "out", "none"]),
        "times": st.integers(1, 3),
    },
)
effect = st.sampled_from(
    [
        {"status": "RESERVATION CONFLICT"}, {"host_byte": "DID_NO_CONNECT"}, {"sense": "5/24/00"},
        {"lost": True}, {"delay": "3s"}, {"delay": "30s"}, {"sense": "7/27/00", "delay": "2s"},
        {"state": "path-down"}, {"short": 100}, {"residual": 7}, {"corrupt": 3},
    ]
)  # fmt: skip
choice = st.sampled_from([{}, {"nth": 2}, {"every": 2}])


@dataclass
class Model:
    """One rule, as the documents describe it, in other words than the code."""

    keys: dict[str, Any]
    matches: int = 0
    injections: int = 0

    def hits(self, name: str) -> bool:
        if not self.means(name):
            return False
        self.matches += 1
        wanted = self.keys.get("nth", self.matches), self.keys.get("every", 1), self.keys.get("times", 99)
        chosen = self.matches == wanted[0] and self.matches % wanted[1] == 0 and self.injections < wanted[2]
        self.injections += chosen
        return chosen

    def means(self, name: str) -> bool:
        keys = self.keys
        first, last = {"0-4": (0, 4), "5": (5, 5), "6-8": (6, 8), "9+100": (9, 108)}[keys.get("lba", "5")]
        touched = any(first <= block <= last for block in BLOCKS.get(name, ()))
        direction = {"TEST UNIT READY": "none", "READ(10)": "in", "WRITE(10)": "out"}[name]
        return (
            name in keys.get("opcode", [name])
            and (touched or "lba" not in keys)
            and keys.get("direction", direction) == direction
        )


def expected(keys: dict[str, Any] | None, length: int) -> tuple[int, int, int]:
    """Return status, host byte and residual of a command that a rule hit, or none."""
    keys = keys or {}
    residual = length
    if "lost" in keys or keys.get("delay") == "30s":
        host_byte = HostByte.DID_TIME_OUT
    elif "host_byte" in keys or "state" in keys:
        host_byte = HostByte.DID_NO_CONNECT
    else:
        host_byte = HostByte.DID_OK
        if "status" not in keys and "sense" not in keys:
            residual = min(keys.get("residual", keys.get("short", 0)), length)
    return 0x18 if "status" in keys else 2 if "sense" in keys else 0, host_byte, residual


@given(
    st.lists(
        st.builds(lambda *parts: {**parts[0], **parts[1], **parts[2]}, matching, effect, choice), max_size=4
    ),
    st.lists(st.sampled_from(list(COMMANDS)), min_size=1, max_size=12),
)
@settings(max_examples=300)
def test_every_command_ends_as_the_rules_say(rules: list[dict[str, Any]], names: list[str]) -> None:
    clock = FakeClock()
    subsystem = Subsystem(clock=clock)
    driver = ScriptedDriver()
    driver.can_queue = driver.cmd_per_lun = 64
    driver.unit(0, 0, 0)
    host = driver.start(subsystem)
    (device,) = subsystem.devices()
    driver.units[0, 0, 0].on(None, lambda command: Answer(residual=0))
    models = [Model(keys) for keys in rules]
    for keys in rules:
        faults_of(subsystem).add(FaultRule.from_mapping(keys))
    sent: list[tuple[Command, dict[str, Any] | None, int, list[Command]]] = []
    for name in names:
        cdb, length = COMMANDS[name]
        data_in = memoryview(bytearray(length)) if name == "READ(10)" else None
        data_out = bytes(length) if name == "WRITE(10)" else None
        ended: list[Command] = []
        command = Command(device, cdb, data_out, data_in, TIMEOUT_S, 0, True, ended.append)
        hit = next((model.keys for model in models if model.hits(name)), None)
        submit(command)
        sent.append((command, hit, length, ended))
    for _ in range(200):  # an error handler, where there is one, takes its own time
        clock.advance(1.0)
    for command, hit, length, ended in sent:
        assert ended == [command], "it ends exactly once"
        assert command.phase is Phase.FINISHED
        outcome = (command.status, command.host_byte, command.residual)
        assert outcome == expected(hit, length), (command_name(command.cdb), hit)
    states = faults_of(subsystem).states()
    assert [(state.matches, state.injections) for state in states] == [
        (model.matches, model.injections) for model in models
    ]
    assert (host.busy, host.waiting, host.unexpected_done, device.busy) == (0, 0, 0, 0)


SCENARIO_LINES = st.one_of(
    st.sampled_from(["[[step]]", "[[step.fault]]", "[step]", "[[fault]]", "[x]"]),
    st.tuples(
        st.sampled_from(
            ["at", "say", "clear", "plug", "title", "end", "name", "lost", "opcode", "delay", "x"]
        ),
        st.sampled_from(['"1s"', '"a"', "2", "true", '["a"]', "[[]]", "{}", "1979-05-27", '"', '"READ"']),
    ).map(" = ".join),
)


@given(st.lists(SCENARIO_LINES, max_size=14).map("\n".join))
@settings(max_examples=500)
def test_any_scenario_is_right_or_a_config_error(text: str) -> None:
    try:
        scenario = parse_scenario(text, file="s.toml")
    except ConfigError:
        return
    assert scenario.steps
    assert scenario.end_s >= scenario.steps[-1].at_s


def test_every_effect_is_in_a_generated_rule_or_has_a_test_of_its_own() -> None:
    generated = {"status", "host_byte", "sense", "lost", "delay", "state", "short", "residual", "corrupt"}
    own = {"busy", "fail", "unit_attention", "qualifier", "identity"}  # tests/unit/lower/filters
    assert set(EFFECTS) == generated | own
