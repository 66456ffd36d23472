"""Generated rules, against udevadm test: hundreds of patterns, formats and operators in a run each."""

from __future__ import annotations

import random

from tests import rule_judge

from .test_udev_rules_language import NULL, compare, skip_without_namespace

CASES = 400
_LETTERS = "nul[]!^-*?|\\:az"
_NAMES = [
    "$kernel",
    "%k",
    "$number",
    "%n",
    "$devpath",
    "$id",
    "%b",
    "$driver",
    "$attr{dev}",
    "%s{dev}",
    "$attr{nothing}",
    "$env{SUBSYSTEM}",
    "%E{MAJOR}",
    "$env{NO}",
    "$major",
    "%M",
    "$minor",
    "%m",
    "$result",
    "%c",
    "%c{2}",
    "%c{2+}",
    "$result{9}",
    "$parent",
    "%P",
    "$name",
    "$links",
    "$root",
    "%r",
    "$sys",
    "%S",
    "$devnode",
    "%N",
    "$attr{[mem/zero]dev}",
    "a",
    "/",
    "-",
    "{",
    "}",
]
_SIGNS = ["%%", "$$", "$", "%"]
_FORMATS = [*_NAMES, *_SIGNS, " ", "x y"]


def generated_patterns(chance: random.Random) -> str:
    lines = []
    for number in range(CASES):
        pattern = "".join(chance.choice(_LETTERS) for _ in range(chance.randint(1, 7))).rstrip("\\")
        operator = chance.choice(["==", "!="])
        key = chance.choice(["KERNEL", "ENV{SUBSYSTEM}", "ENV{NO}", "ATTR{dev}", "KERNELS"])
        lines.append(f'{key}{operator}"{pattern}", ENV{{P{number}}}="1"')
    return "\n".join(lines)


def generated_formats(chance: random.Random) -> str:
    lines = ['PROGRAM="/bin/echo one  two three"']
    for number in range(CASES):
        parts = [chance.choice(_FORMATS) for _ in range(chance.randint(1, 5))]
        text = "".join(parts)
        escaping = chance.choice(["", 'OPTIONS="string_escape=none", ', 'OPTIONS="string_escape=replace", '])
        operator = chance.choice(["=", "+="])
        lines.append(f'{escaping}ENV{{F{number % 40}}}{operator}"{text}", SYMLINK+="l/{number}-{text}"')
        # What udevadm test prints of RUN has been through its substitutions twice; udevd does it once.
        if number % 10 == 0 and not set(_SIGNS).intersection(parts):
            lines.append(f'RUN+="/bin/x {text}"')
    return "\n".join(line for line in lines if "$links" not in line)  # udev keeps links in no order


def test_patterns() -> None:
    skip_without_namespace()
    for seed in range(4):
        compare(NULL, {"50-generated.rules": generated_patterns(random.Random(seed)).encode()})


def test_formats() -> None:
    skip_without_namespace()
    for seed in range(4):
        rules = {"50-generated.rules": generated_formats(random.Random(seed)).encode()}
        judged = rule_judge.udevadm_test(NULL, rules)
        outcome = rule_judge.ours(NULL, rules)
        # udev keeps a link as it was written, "l//a" or "l/./a"; the same place has one name here.
        links = {"/".join(part for part in link.split("/") if part) for link in judged.links}
        assert frozenset(outcome.links) == links
        assert [d for d in rule_judge.difference(outcome, judged) if not d.startswith("links")] == []
