"""Networks with the sizes and the training plan that go with them, by name."""

import difflib
from dataclasses import dataclass, field

from ..errors import ConfigError
from .networks import NETWORKS


@dataclass(frozen=True)
class Preset:
    """A network ready to train: what it is, how large, and how it is trained.

    Attributes:
        network: name of the network (`networks.NETWORKS`).
        options: values of its configuration that differ from the defaults.
        plan: values of the training plan (`train.loop.TrainConfig`) that differ from the defaults. The learning
            rate is that of the plan's own batch; `plan_with` scales it to another.
        purpose: one line about it.
    """

    network: str
    options: dict = field(default_factory=dict)
    plan: dict = field(default_factory=dict)
    purpose: str = ""

    def plan_with(self, **given):
        """Values of the plan with some of them given otherwise.

        A batch other than the preset's own brings a learning rate in proportion (`learning_rate` x new batch /
        own batch), unless that is given as well. None stands for: not given.
        """
        given = {name: value for name, value in given.items() if value is not None}
        values = {**self.plan, **given}
        if {"batch", "learning_rate"} <= set(self.plan) and "learning_rate" not in given:
            values["learning_rate"] = self.plan["learning_rate"] * values["batch"] / self.plan["batch"]
        return values


PUBLISHED_PLAN = {
    "batch": 16,
    "learning_rate": 1e-4,
    "optimiser": "adam",
    "weight_decay": 0.0,
    "clip": 1.0,
    "schedule": "plateau",
    "plateau_epochs": 20,
    "patience": 25,
    "epochs": 400,
    "number": 400 * 100_000,
}
"""Training of the published networks (arXiv 2602.20289): Adam, a learning rate of 1e-4 at a batch of 16, halved after
20 epochs without improvement, stopped after 25. An epoch is 100 000 scans; the early stop ends it long before 400."""

PRESETS = {
    "yae-published": Preset("yae", {}, PUBLISHED_PLAN, "the published Y-shaped autoencoder"),
    "cnn-published": Preset("cnn", {}, PUBLISHED_PLAN, "the published convolutional network"),
}
"""Name -> Preset. Every network is also a preset of its own name, with its defaults."""


def preset_names():
    """All names that `preset_named` knows."""
    return (*NETWORKS, *PRESETS)


def preset_named(name):
    """The preset of a name; ConfigError where there is none."""
    if name in NETWORKS:
        return Preset(name)
    if name not in PRESETS:
        near = difflib.get_close_matches(name, preset_names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"take one of {', '.join(preset_names())}."
        raise ConfigError(f"There is no network {name!r}; {hint}")
    return PRESETS[name]
