"""Seeds every test; a tiny basis set and a tiny model that tests share."""

import dataclasses
import importlib.util
import os

# Small tensors: a second thread costs more than it brings, and very much where the cores have other work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

from fsl_mrs_dl import axes
from fsl_mrs_dl.basis.basis_set import BasisSet
from fsl_mrs_dl.synth.priors import RECIPES

torch.set_num_threads(1)

PHANTOM = RECIPES["phantom"]
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


@dataclasses.dataclass
class Pool:
    """What the stream needs of a pool of bases."""

    fids: np.ndarray
    names: tuple
    conditions: tuple
    dwell_s: float = 5e-4
    centre_hz: float = 123.2e6
    linewidth_hz: float = 1.0


def pool_of(basis, gains):
    """A pool whose members are the basis set times a gain."""
    return Pool(np.stack([basis.fids * gain for gain in gains]), basis.names, basis.conditions)


def assert_survives_saving(model, folder):
    """A model of edited spectra gives the same after saving and loading, without being told its basis set again."""
    from fsl_mrs_dl.model.checkpoint import load_model, save_model

    save_model(model, folder)
    channels = torch.randn(2, 4, model.config.input.bins)
    with torch.no_grad():
        torch.testing.assert_close(load_model(folder).network(channels).fractions, model.network(channels).fractions)


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
    from fsl_mrs_dl.train.loop import Hardware, train
    from fsl_mrs_dl.train.plan import TrainConfig

    plan = TrainConfig(number=40_000, batch=128, epochs=3, learning_rate=2e-3, held_out=1000)
    options = YaeConfig(encoder=(128, 64), decoder=(64,), quantifier=64)
    # Less water and no lines at the basis set's own width: a few seconds teach it enough for known answers.
    recipe = dataclasses.replace(PHANTOM, water=(0.0, 0.5), lorentz_hz=(1.5, 9.0), tidy_fraction=0.0)
    return train("yae", tiny_basis, recipe, plan, options, hardware=Hardware("cpu"), progress=False)


@pytest.fixture(scope="session")
def single_basis():
    """Basis set of one condition, of the same three metabolites."""
    return make_basis(conditions=("single",))


@pytest.fixture(scope="session")
def single_model_folder(single_basis, tmp_path_factory):
    """Folder of a small YAE of one condition, named small, trained for a few seconds; alone in its parent."""
    from fsl_mrs_dl.model.checkpoint import save_model
    from fsl_mrs_dl.model.yae import YaeConfig
    from fsl_mrs_dl.synth.priors import PUBLISHED
    from fsl_mrs_dl.train.loop import Hardware, train
    from fsl_mrs_dl.train.plan import TrainConfig

    torch.manual_seed(0)
    recipe = dataclasses.replace(PUBLISHED, name="wide", lorentz_hz=(2.0, 6.0))
    plan = TrainConfig(number=12_800, batch=128, epochs=2, learning_rate=2e-3, held_out=256)
    options = YaeConfig(encoder=(64, 32), decoder=(32,), quantifier=32)
    model = train("yae", single_basis, recipe, plan, options, hardware=Hardware("cpu"), progress=False)
    model.card["name"] = "small"
    folder = tmp_path_factory.mktemp("models") / "small"
    save_model(model, folder)
    return folder


def pytest_collection_modifyitems(items):
    """Tests of the host edge need the real FSL-MRS."""
    if importlib.util.find_spec("fsl_mrs") is None:
        reason = pytest.mark.skip(reason="FSL-MRS cannot be imported: install fsl_mrs (see docs/inside-fsl-mrs.md)")
        for item in items:
            if item.get_closest_marker("with_fsl_mrs"):
                item.add_marker(reason)
