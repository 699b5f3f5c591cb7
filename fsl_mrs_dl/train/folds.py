"""A fixed number of simulated scans, cut into a part to train on and a part to measure errors on."""

from dataclasses import dataclass

from ..errors import ConfigError
from .feed import Source


KEPT_SCANS = 4096
"""Held-out scans that are kept in memory, because errors are measured on them after every pass."""


class Part:
    """Some batches of a stream, by their place among them.

    Args:
        stream: synth.dataset.Stream.
        numbers: of its batches.
        keep: how many scans are kept in memory once they are made.
    """

    def __init__(self, stream, numbers, keep=0):
        self.stream, self.numbers, self.keep, self.kept = stream, tuple(numbers), keep, {}
        self.batch, self.seed, self.recipe = stream.batch, stream.seed, stream.recipe

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, index):
        """The batch at a place; after the last comes the first again."""
        number = self.numbers[index % len(self.numbers)]
        if number in self.kept:
            return self.kept[number]
        batch = self.stream[number]
        if len(self.kept) * self.batch < self.keep:
            self.kept[number] = batch
        return batch


@dataclass(frozen=True)
class FoldSource(Source):
    """Scans of a recipe, of which every `folds`-th batch, from number `fold` on, is held out.

    Attributes:
        number: scans altogether; whole batches are taken.
        folds: into how many parts they are cut.
        fold: which of them is held out.
    """

    number: int = 10_000
    folds: int = 5
    fold: int = 0

    def __post_init__(self):
        if not 2 <= self.folds <= self.batches:
            raise ConfigError(
                f"{self.number} scans in batches of {self.batch} are cut into 2 to {self.batches} parts, "
                f"not {self.folds}: raise the number of scans."
            )

    @property
    def batches(self):
        """Batches altogether."""
        return self.number // self.batch

    @property
    def trained(self):
        """Numbers of the batches that are trained on."""
        return [index for index in range(self.batches) if index % self.folds != self.fold]

    def training(self, device):
        """All batches but those held out."""
        return Part(self.stream(self.recipe, self.seed, device, self.pool), self.trained)

    def held_out(self, place, device):
        """The batches held out, whichever place is asked for."""
        kept = range(self.fold, self.batches, self.folds)
        return Part(self.stream(self.recipe, self.seed, device, self.pool), kept, KEPT_SCANS)
