"""How long something takes: always the same, or by percentiles."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Delay:
    """A duration, or a distribution of durations.

    Attributes:
        points: Percentile (0 to 100) and seconds, rising. One point is a fixed delay. Between points the
            delay lies on a line; below the first and above the last it is theirs.
    """

    points: tuple[tuple[float, float], ...]

    @classmethod
    def fixed(cls, seconds: float) -> Delay:
        """Return a delay that is always the same."""
        return cls(((0.0, seconds),))

    def sample(self, choose: Random) -> float:
        """Return one delay, in seconds."""
        if len(self.points) == 1:
            return self.points[0][1]
        return self.at(choose.random() * 100)

    def at(self, percent: float) -> float:
        """Return the delay at a percentile, in seconds."""
        below = self.points[0]
        for above in self.points:
            if percent <= above[0]:
                width = above[0] - below[0]
                share = (percent - below[0]) / width if width else 1.0
                return below[1] + (above[1] - below[1]) * share
            below = above
        return below[1]
