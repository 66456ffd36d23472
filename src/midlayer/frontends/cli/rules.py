"""``rules check`` and ``rules test``: what is wrong with rule files, and what they would do to a device."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from midlayer.errors import UsageError
from midlayer.frontends.cli.output import print_json
from midlayer.quantities import counted
from midlayer.rules import DIRECTORIES, Mistake, Outcome, RuleFile, RuleSet, parse
from midlayer.rules.directories import files, read
from midlayer.rules.text import one_line

_ACTIONS = ("add", "remove", "change", "move", "online", "offline", "bind", "unbind")


def check(options: argparse.Namespace) -> int:
    """Print every mistake; the exit status is 1 if there is one."""
    read_files = list(_files(options.names or DIRECTORIES))
    mistakes = [mistake for file in read_files for mistake in file.mistakes]
    if options.json:
        print_json(
            {
                "files": len(read_files),
                "rules": sum(len(file.rules) for file in read_files),
                "mistakes": [mistake.to_json() for mistake in mistakes],
            }
        )
    else:
        for mistake in mistakes:
            print(mistake)
        print(_summary(read_files, mistakes))
    return 1 if mistakes else 0


def _files(names: Iterable[str]) -> Iterator[RuleFile]:
    """Read the named files, and what is in the named directories."""
    for name in names:
        paths = files([name]) if Path(name).is_dir() or not Path(name).exists() else [Path(name)]
        if not paths and name not in DIRECTORIES:
            raise UsageError(f"{name}: no rule file is there (a directory's are called NAME.rules)")
        for path in paths:
            yield parse(read(path), str(path))


def _summary(read_files: list[RuleFile], mistakes: list[Mistake]) -> str:
    count = sum(len(file.rules) for file in read_files)
    found = counted(len(mistakes), "mistake") if mistakes else "no mistake"
    return f"{counted(len(read_files), 'file')}, {counted(count, 'rule')}, {found}"


def test(options: argparse.Namespace) -> int:
    """Print what the rules make of an event of a device; nothing that RUN names is run."""
    if options.action not in _ACTIONS:
        raise UsageError(f"there is no action {options.action!r}; write one of {' '.join(_ACTIONS)}")
    from midlayer.frontends.cli.viewing import viewed

    rule_set = RuleSet.load(options.rules or DIRECTORIES)
    with viewed(options) as (view, environment):
        outcome = rule_set.apply(view, options.action, environment)
    mistakes = [str(mistake) for mistake in rule_set.mistakes]
    if options.json:
        print_json(outcome.to_json() | {"mistakes": mistakes})
        return 0
    for line in _lines(outcome, verbose=options.verbose):
        print(line)
    for mistake in mistakes:
        print(mistake)
    if not len(rule_set):
        places = " ".join(options.rules or DIRECTORIES)
        print(f"no rule was read from {places}; name a directory with --rules")
    return 0


def _lines(outcome: Outcome, *, verbose: bool) -> Iterator[str]:
    yield one_line(f"{outcome.action} {outcome.devpath}")
    for rule in outcome.matched:
        effects = [effect for effect in rule.effects if verbose or not effect.startswith("GOTO ")]
        for effect in effects:
            yield one_line(f"  {rule.file}:{rule.line}: {effect}")
    yield "properties:"
    for key, value in sorted(outcome.properties.items()):
        yield one_line(f"  {key}={value}")
    yield "links:"
    for link in sorted(outcome.links):
        yield one_line(f"  /dev/{link}")
    if outcome.owner_name or outcome.group_name or outcome.mode is not None:
        mode = "" if outcome.mode is None else f"{outcome.mode:04o}"
        yield one_line(f"node: {outcome.owner_name or 'root'}:{outcome.group_name or 'root'} {mode}".rstrip())
    if outcome.writes:
        yield "would write:"
        for write in outcome.writes:
            yield one_line(f"  {write.path}: {write.value}")
    yield "would run:"
    for run in outcome.run:
        yield one_line(f"  {'builtin ' if run.kind == 'builtin' else ''}{run.command}")
    if outcome.notes:
        yield "notes:"
        for note in outcome.notes:
            yield one_line(f"  {note}")
