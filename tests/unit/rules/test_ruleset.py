"""Applying rules. What udev does in each form is judged in the golden and kernel tiers; here is what is ours,
and what those machines do not have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from midlayer.rules import PlainEnvironment, PlainView, ProgramResult, RuleSet, Run

from .devices import DISK, GENERIC, PARTITION, UNIT, apply


def test_the_rule_of_document_001_as_it_stands() -> None:
    text = 'SUBSYSTEM=="scsi_generic", KERNEL=="sg[0-9]*", RUN+="/usr/sbin/sg-test.sh $tempnode $kernel"\n'
    assert apply(text, GENERIC).run == (
        Run("program", "/usr/sbin/sg-test.sh /dev/sg3 sg3", ("/usr/sbin/sg-test.sh", "/dev/sg3", "sg3"),
            "50-test.rules", 1),
    )  # fmt: skip
    assert apply(text, DISK).run == ()


def test_parents_are_matched_on_one_and_the_same_device() -> None:
    text = """\
SUBSYSTEMS=="scsi", ATTRS{vendor}=="ACME", ENV{ONE}="$id $driver"
SUBSYSTEMS=="pci", ATTRS{vendor}=="ACME", ENV{MIXED}="1"
DRIVERS=="ahci", ENV{FAR}="$id"
"""
    properties = apply(text).properties
    assert properties["ONE"] == "2:0:1:0 sd"
    assert "MIXED" not in properties
    assert properties["FAR"] == "0000:00:1f.2"


def test_actions_of_ours_are_kept_in_order_with_their_words() -> None:
    text = """\
ATTR{type}=="0", RUN{builtin}+="log disk $kernel"
ATTR{type}=="0", RUN{builtin}+="quarantine 'wrong qualifier'"
RUN+="/bin/true"
RUN{builtin}+="scsi_remove_device"
"""
    outcome = apply(text, UNIT)
    assert [(run.kind, run.words) for run in outcome.run] == [
        ("builtin", ("log", "disk", "2:0:1:0")),
        ("builtin", ("quarantine", "wrong qualifier")),
        ("program", ("/bin/true",)),
        ("builtin", ("scsi_remove_device",)),
    ]


def test_matched_rules_are_told_with_file_and_line() -> None:
    outcome = apply('KERNEL=="x", ENV{A}="1"\n\nKERNEL=="sd*", \\\n  ENV{A}="2", SYMLINK+="my disk"\n')
    (matched,) = outcome.matched
    assert (matched.file, matched.line) == ("50-test.rules", 3)
    assert matched.effects == ("ENV{A} 2", "SYMLINK my", "SYMLINK disk")


def test_shell_characters_of_a_device_never_reach_a_link_or_an_answer() -> None:
    text = 'ATTRS{model}=="Big*", SYMLINK+="d/$attr{vendor} m/$attr{model}", RUN+="x $attr{model}"'
    outcome = apply(text)
    assert outcome.links == ("d/ACME", "m/Big__rm_-rf_")
    assert outcome.run[0].command == "x Big_ rm -rf /"


@pytest.mark.parametrize("link", ["../etc/passwd", "a/../../b", "/", "."])
def test_a_link_stays_below_dev(link: str) -> None:
    outcome = apply(f'SYMLINK+="{link}"')
    assert outcome.links == ()
    assert "leads out of /dev" in outcome.notes[0]


def test_nothing_is_linked_for_a_device_without_a_node_or_one_that_goes() -> None:
    text = 'SYMLINK+="x", MODE="0600"\n'
    assert apply(text, UNIT).links == ()
    assert apply(text, DISK, "remove").mode is None
    assert apply(text, DISK).links == ("x",)


def test_a_program_sees_the_properties_and_no_shell() -> None:
    seen: list[object] = []

    class Watching(PlainEnvironment):
        def run_program(self, view, words, properties, timeout_s):  # type: ignore[no-untyped-def]
            seen.append((list(words), dict(properties), timeout_s))
            return ProgramResult(0, "KEY=value\nnot a property\n")

    outcome = RuleSet.of_texts(
        {"a.rules": 'ENV{A}="1"\nIMPORT{program}="/bin/x \'a b\' ; $(c) $devnode"\n'}
    ).apply(DISK, "add", Watching(), timeout_s=7)
    ((words, properties, timeout_s),) = seen  # type: ignore[misc]
    assert words == ["/bin/x", "a b", ";", "$(c)", "/dev/sdb"]
    assert properties["A"] == "1"
    assert properties["ACTION"] == "add"
    assert timeout_s == 7
    assert outcome.properties["KEY"] == "value"


def test_nothing_is_run_without_an_environment() -> None:
    outcome = apply('PROGRAM=="/bin/true", ENV{A}="1"\nIMPORT{builtin}="hwdb", ENV{B}="1"\n')
    assert "A" not in outcome.properties
    assert outcome.notes == (
        "50-test.rules:1: '/bin/true' was not run: no program is run here",
        "50-test.rules:2: built-in hwdb is not available here",
    )


def test_imports_of_a_parent_the_database_and_the_command_line() -> None:
    environment = PlainEnvironment(
        databases={DISK.devpath: {"ID_SERIAL": "abc", "OTHER": "x"}, PARTITION.devpath: {"KEPT": "1"}},
        kernel_command_line="quiet root=/dev/sda my-flag",
    )
    text = """\
IMPORT{parent}="ID_*"
IMPORT{db}="KEPT"
IMPORT{cmdline}="root"
IMPORT{cmdline}="my_flag"
IMPORT{cmdline}!="absent", ENV{ABSENT}="1"
"""
    properties = apply(text, PARTITION, environment=environment).properties
    wanted = {"ID_SERIAL": "abc", "KEPT": "1", "root": "/dev/sda", "my_flag": "1", "ABSENT": "1"}
    assert wanted.items() <= properties.items()
    assert "OTHER" not in properties


def test_owner_group_and_mode() -> None:
    environment = PlainEnvironment(users={"me": 7}, groups={"disk": 6})
    outcome = apply('OWNER="me", GROUP="disk"\nMODE="0o"\nOWNER="nobody-at-all"', environment=environment)
    assert (outcome.owner, outcome.group, outcome.owner_name, outcome.group_name) == (7, 6, "me", "disk")
    assert outcome.mode == 0o660
    assert len(outcome.notes) == 2
    assert apply('MODE="0644"').mode == 0o644


def test_attributes_and_kernel_parameters_are_not_written_but_told() -> None:
    environment = PlainEnvironment(files={f"/sys{DISK.devpath}/queue/a/nr": b"1"})
    outcome = apply(
        'ATTR{removable}="1", SYSCTL{kernel.panic}="$number"\nATTR{queue/*/nr}="2"\nATTR{no/*/x}="3"',
        replace(DISK, devpath=DISK.devpath),
        environment=environment,
    )
    assert [(write.key, write.path, write.value) for write in outcome.writes] == [
        ("ATTR", f"/sys{DISK.devpath}/removable", "1"),
        ("SYSCTL", "/proc/sys/kernel/panic", ""),
        ("ATTR", f"/sys{DISK.devpath}/queue/a/nr", "2"),
    ]
    assert "no directory has such a file" in outcome.notes[0]


def test_a_value_without_room_is_left_out() -> None:
    long = PlainView(devpath="/devices/x", subsystem="x", devnode="/dev/x", devnum=(1, 1),
                     attributes={"a": "y" * 600})  # fmt: skip
    outcome = apply('ENV{A}="$attr{a}"\nSYMLINK+="l-$attr{a}$attr{a}"\nRUN+="x $attr{a}"', long)
    assert "A" not in outcome.properties
    assert outcome.links == ()
    assert len(outcome.run) == 1
    assert len(outcome.notes) == 2


def test_a_property_of_the_kernel_with_a_newline_is_one_line_in_json() -> None:
    strange = replace(DISK, own_properties={"ID": "a\nb\x1b", "\n": "x"})
    text = str(apply('ENV{A}="$env{ID}"', strange).to_json())
    assert "\n" not in text
    assert "\x1b" not in text


def test_private_properties_are_apart() -> None:
    outcome = apply('ENV{.A}="1"\nENV{.A}=="1", ENV{B}="1"')
    assert outcome.private == {".A": "1"}
    assert outcome.properties["B"] == "1"


def test_plans_do_not_mix_devices_or_actions() -> None:
    rules = RuleSet.of_texts(
        {"a.rules": 'ACTION=="add", SUBSYSTEM=="block", ENV{A}="1"\nDRIVER=="sd", ENV{B}="1"\n'}
    )
    seen = [
        (view.sysname, action, sorted({"A", "B"} & rules.apply(view, action).properties.keys()))
        for view in (DISK, UNIT)
        for action in ("add", "change", "add")
    ]
    assert seen == [
        ("sdb", "add", ["A"]), ("sdb", "change", []), ("sdb", "add", ["A"]),
        ("2:0:1:0", "add", ["B"]), ("2:0:1:0", "change", ["B"]), ("2:0:1:0", "add", ["B"]),
    ]  # fmt: skip


def test_case_is_ignored_where_a_rule_says_so() -> None:
    properties = apply('KERNEL==i"SD?", ENV{A}="1"\nKERNEL=="SD?", ENV{B}="1"').properties
    assert properties["A"] == "1"
    assert "B" not in properties


def test_a_link_can_be_taken_back() -> None:
    assert apply('SYMLINK+="a b"\nSYMLINK-="a"').links == ("b",)


def test_a_network_interface_is_renamed() -> None:
    card = PlainView(devpath="/devices/x/net/eth0", subsystem="net", own_properties={"IFINDEX": "2"})
    assert apply('NAME="lan 0"', card).name == "lan_0"
    assert "only network interfaces" in apply('NAME="x", ENV{A}="1"').notes[0]
