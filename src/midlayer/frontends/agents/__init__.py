"""Hotplug agents: programs that run for each device that comes or goes, and never hold up the event log."""

from midlayer.frontends.agents.environment import environment, steps_of
from midlayer.frontends.agents.job import Agent, AgentLimits, Job, Outcome
from midlayer.frontends.agents.processes import Processes
from midlayer.frontends.agents.runner import AgentRunner

__all__ = [
    "Agent",
    "AgentLimits",
    "AgentRunner",
    "Job",
    "Outcome",
    "Processes",
    "environment",
    "steps_of",
]
