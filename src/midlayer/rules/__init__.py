"""The udev rule language: reading rules, applying them to a device, and saying what would happen."""

from midlayer.rules.environment import Environment, PlainEnvironment, ProgramResult, SystemEnvironment
from midlayer.rules.mistakes import Mistake, Severity
from midlayer.rules.outcome import Matched, Outcome, Run
from midlayer.rules.parser import Rule, RuleFile, parse
from midlayer.rules.ruleset import DIRECTORIES, RuleSet
from midlayer.rules.view import DeviceView, PlainView

__all__ = [
    "DIRECTORIES",
    "DeviceView",
    "Environment",
    "Matched",
    "Mistake",
    "Outcome",
    "PlainEnvironment",
    "PlainView",
    "ProgramResult",
    "Rule",
    "RuleFile",
    "RuleSet",
    "Run",
    "Severity",
    "SystemEnvironment",
    "parse",
]
