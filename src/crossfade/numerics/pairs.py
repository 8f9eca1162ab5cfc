"""Draw training pairs from class mass, a few at a time: memory grows with the rows, never with the pairs of rows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from crossfade.roles import Floats

Rows = NDArray[np.intp]
SORTED_TOGETHER = 32
"""Batches drawn at a time and sorted by length: enough for batches of one length, few enough to stay random. Ours."""


@dataclass(frozen=True, slots=True)
class Turns:
    """Anchors, each with a partner drawn from its class and one drawn from the others."""

    anchors: Rows
    """[turns]."""
    positives: Rows
    """[turns]; may be the anchor itself, and is where its class has no other row."""
    negatives: Rows
    """[turns]."""

    def __len__(self) -> int:
        return len(self.anchors)

    def pick(self, which: Rows) -> "Turns":
        """Return some of the turns, in the order asked for."""
        return Turns(self.anchors[which], self.positives[which], self.negatives[which])


class PairSampler:
    """Draws rows in proportion to their mass.

    The mass of a row in a class is its weight times the probability of the class. All mass is laid end to end, class by
    class; a point on that line names a row together with one of its classes. So soft labels and weights need no case of
    their own, and a draw costs one binary search.

    Args:
        mass: [rows, classes], each >= 0, with mass in at least two classes.
        rng: Every draw comes from here.
    """

    def __init__(self, mass: Floats, rng: Generator) -> None:
        self.rng = rng
        self._classes, self._rows = np.nonzero(mass.T)
        self._ends = np.cumsum(mass[self._rows, self._classes])
        self._class_mass = mass.sum(axis=0)
        self._starts = np.cumsum(self._class_mass) - self._class_mass

    @property
    def turns_per_pass(self) -> int:
        """How often a pass takes an anchor: the total mass in whole numbers, at least once."""
        return max(1, round(float(self._ends[-1])))

    def batches(self, turns: int, size: int, lengths: Rows) -> Iterator[Turns]:
        """Yield batches of turns of similar length; partners are drawn when their batches are near.

        Args:
            turns: How many in all.
            size: Turns in a batch; the last one drawn may have fewer.
            lengths: How long each row is, in any unit, [rows].
        """
        anchors = self._anchors(turns)
        for start in range(0, turns, size * SORTED_TOGETHER):
            near = self._partners(anchors[start : start + size * SORTED_TOGETHER])
            longest = lengths[np.stack([near.anchors, near.positives, near.negatives])].max(axis=0)
            order = np.argsort(longest, kind="stable")
            batches = [order[first : first + size] for first in range(0, len(order), size)]
            for which in self.rng.permutation(len(batches)):
                yield near.pick(batches[which])

    def _anchors(self, turns: int) -> Rows:
        """Walk over all mass in equal steps from a random start, pass after pass, each in random order.

        A row of mass 1 is met once in each pass, one of mass 0.1 in one of ten; these are places in the line of mass.
        """
        each = self.turns_per_pass
        passes = [
            self.rng.permutation((np.arange(each) + self.rng.random()) / each * self._ends[-1])
            for _ in range(-(-turns // each))
        ]
        return self._places(np.concatenate(passes)[:turns])

    def _partners(self, anchors: Rows) -> Turns:
        """Draw a row from the class of each anchor, and one from the mass of all other classes."""
        classes = self._classes[anchors]
        starts, mass = self._starts[classes], self._class_mass[classes]
        same = starts + self.rng.random(len(anchors)) * mass
        other = self.rng.random(len(anchors)) * (self._ends[-1] - mass)
        other = np.where(other < starts, other, other + mass)
        return Turns(self._rows[anchors], self._rows[self._places(same)], self._rows[self._places(other)])

    def _places(self, points: Floats) -> Rows:
        """Find the entries that points on the line of mass fall into."""
        places = np.searchsorted(self._ends, points, side="right")
        # A point may be rounded up to the very end of the line.
        return np.minimum(places, len(self._ends) - 1)
