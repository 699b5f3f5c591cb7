"""How to train: the plan, and the learning rate that it gives to every step."""

import math
from dataclasses import dataclass

from ..errors import ConfigError

OPTIMISERS = ("adamw", "adam")
SCHEDULES = ("cosine", "plateau")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")

RISE = 0.05
"""Share of the training over which the learning rate of a cosine schedule rises."""

PLATEAU_FACTOR = 0.5
"""What the learning rate of a plateau schedule is multiplied by after `plateau_epochs` without improvement."""


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        number: scans to train on: all of them new where `passes` is 0, else a set that is seen `passes` times.
        batch: scans per step (of each device).
        learning_rate: the highest one.
        weight_decay: of the weights.
        clip: largest gradient norm.
        epochs: parts of the training after each of which errors are measured and a checkpoint is written; with
            `passes`, each pass is one and this is not used.
        patience: epochs without improvement after which training stops.
        held_out: scans never trained on that the final errors are measured on.
        seed: of weights and scans.
        precision: of the arithmetic, as Lightning names it.
        optimiser: adamw or adam.
        schedule: "cosine" rises over the first twentieth of the training and falls along a cosine to nothing,
            "plateau" halves the learning rate after `plateau_epochs` without improvement.
        plateau_epochs: see schedule.
        passes: how often the same `number` scans are seen, in a new order each time; 0: every scan is new.
        time_s: how long to train (s), the learning rate planned over that time; 0: as long as `number` takes. New
            scans are then drawn until the time is over, however many `number` says.
    """

    number: int = 2_000_000
    batch: int = 256
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-4
    clip: float = 1.0
    epochs: int = 40
    patience: int = 10
    held_out: int = 10_000
    seed: int = 1
    precision: str = "32-true"
    optimiser: str = "adamw"
    schedule: str = "cosine"
    plateau_epochs: int = 20
    passes: int = 0
    time_s: float = 0.0

    def __post_init__(self):
        positive = ("number", "batch", "learning_rate", "clip", "epochs", "patience", "held_out", "plateau_epochs")
        for name in positive:
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}.")
        for name in ("weight_decay", "passes", "time_s", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be 0 or more, not {getattr(self, name)}.")
        for name, known in (("optimiser", OPTIMISERS), ("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}.")
        if self.passes and self.number < self.batch:
            raise ConfigError(f"{self.number} scans are less than a batch of {self.batch}: raise the number of scans.")
        if not self.passes and not self.time_s and self.number < self.batch * self.epochs:
            raise ConfigError(
                f"{self.number} scans are less than a batch of {self.batch} in each of {self.epochs} epochs: "
                "raise the number of scans or lower the epochs."
            )

    @property
    def parts(self):
        """Epochs of the whole training."""
        return self.passes or self.epochs

    def steps_per_epoch(self, devices=1):
        """Steps in one epoch, each a batch on every device; None where the time alone ends it."""
        if self.passes:
            return max(1, self.number // (self.batch * devices))
        return None if self.time_s else max(1, self.number // (self.batch * devices * self.epochs))

    def rate(self, done, halvings=0):
        """Learning rate when a share `done` of the training is over and the plateau was reached `halvings` times."""
        if self.schedule == "plateau":
            return self.learning_rate * PLATEAU_FACTOR**halvings
        return self.learning_rate * rise_and_fall(done)


def rise_and_fall(done):
    """Share of the highest learning rate when a share `done` of the training is over."""
    return min(done / RISE + 0.01, 0.5 + 0.5 * math.cos(math.pi * min(done, 1.0)))
