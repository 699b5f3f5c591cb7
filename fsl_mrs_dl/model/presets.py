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
        plan: values of the training plan (`train.plan.TrainConfig`) that differ from the defaults. The learning
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
    "number": 100_000,
    "passes": 400,
}
"""Training of the published networks (arXiv 2602.20289): Adam, a learning rate of 1e-4 at a batch of 16, halved after
20 epochs without improvement, stopped after 25, on 100 000 scans again and again. The early stop ends it before 400."""

YAE_OPTIONS = {
    "encoder": (2048, 1024, 512, 256, 128),
    "decoder": (64, 128, 256, 512, 1024),
    "quantifier": 384,
    "quantifier_layers": 2,
    "activation": "tanh",
    "normalisation": "none",
    "dropout": 0.2,
    "shared": True,
    "output": "sigmoid",
    "loss": "huber",
    "reconstruction_weight": 1.0,
    "ramp_epochs": 25,
    "line_apart": True,
    "input_bins": 2048,
}
"""Five encoder layers that halve from 2048 units, six decoder layers that double to 2048, the last of which are the
spectra; a quantifier of 384 and 192 units. That the decoder starts at 64 follows from six layers that end in 2048."""

CNN_OPTIONS = {
    "front": (128, 128),
    "front_kernels": (9, 9),
    "join_kernel": 5,
    "filters": (512, 512, 512, 512),
    "kernels": (3, 3, 3, 3),
    "strides": (1, 1, 1, 1),
    "pools": (3, 3, 3, 3),
    "dense": 2048,
    "dense_activation": "sigmoid",
    "activation": "relu",
    "normalisation": "batch",
    "hidden": False,
    "dropout": 0.3,
    "output": "sigmoid",
    "loss": "squares",
    "line_apart": True,
    "input_bins": 2048,
}
"""Kernels 9 and 9 over frequency, 5 where acquisitions and parts are joined, 3 in two pairs of blocks of 512 filters.
The filters of the first stages (128), relu behind convolutions and a pool behind each block are this project's
reading: the publication's selection does not settle them."""

PRESETS = {
    "yae-published": Preset("yae", YAE_OPTIONS, PUBLISHED_PLAN, "the published Y-shaped autoencoder"),
    "cnn-published": Preset("cnn", CNN_OPTIONS, PUBLISHED_PLAN, "the published convolutional network"),
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
