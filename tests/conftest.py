"""Seeds every test; a tiny basis set and a tiny model that tests share."""

import numpy as np
import pytest
import torch

from fsl_mrs_dl import axes
from fsl_mrs_dl.basis.basis_set import BasisSet

CENTRE_HZ = 123.2e6
LINES_PPM = {"Cr": (3.03, 3.91), "GABA": (1.89, 2.28, 3.01), "NAA": (2.01, 2.6)}
"""A made-up basis set: every metabolite a few lines; edit-on loses NAA's singlet and inverts a part of GABA."""
ON_GAIN = {"Cr": (1.0, 1.0), "GABA": (0.1, 0.2, -0.8), "NAA": (0.02, 1.0)}
OFF_GAIN = {"Cr": (3.0, 2.0), "GABA": (2.0, 2.0, 1.2), "NAA": (3.0, 1.0)}


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts from the same random state, on one thread pool that does not grow."""
    torch.manual_seed(0)
    np.random.seed(0)


def make_basis(points=2048, dwell_s=5e-4, conditions=("edit_off", "edit_on")):
    """The made-up basis set on any grid; lines of 1 Hz."""
    t = axes.time_axis(points, dwell_s)
    gains = {"edit_off": OFF_GAIN, "edit_on": ON_GAIN, "single": OFF_GAIN}
    fids = np.array(
        [
            [
                sum(
                    gain * np.exp((2j * np.pi * axes.ppm_to_hz(ppm, CENTRE_HZ) - np.pi) * t)
                    for ppm, gain in zip(LINES_PPM[name], gains[condition][name])
                )
                for name in LINES_PPM
            ]
            for condition in conditions
        ]
    )
    return BasisSet(
        fids=fids,
        conditions=tuple(conditions),
        names=tuple(LINES_PPM),
        dwell_s=dwell_s,
        centre_hz=CENTRE_HZ,
        linewidth_hz=1.0,
    )


@pytest.fixture(scope="session")
def tiny_basis():
    """Edited basis set of three metabolites."""
    return make_basis()


@pytest.fixture(scope="session")
def tiny_model(tiny_basis):
    """A small YAE trained for a few seconds on the tiny basis set."""
    from fsl_mrs_dl.model.yae import YaeConfig
    from fsl_mrs_dl.synth.priors import RECIPES
    from fsl_mrs_dl.train.loop import TrainConfig, train

    plan = TrainConfig(number=40_000, batch=128, epochs=3, learning_rate=2e-3, held_out=1000)
    options = YaeConfig(encoder=(128, 64), decoder=(64,), quantifier=64)
    return train("yae", tiny_basis, RECIPES["phantom"], plan, options, progress=False)
