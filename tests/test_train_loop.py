"""Training: it learns, it repeats, it stops at nonsense, it keeps checkpoints."""

import dataclasses

import pytest
import torch

from fsl_mrs_dl.errors import ConfigError, ModelError
from fsl_mrs_dl.model.yae import Yae, YaeConfig
from fsl_mrs_dl.synth.priors import PHANTOM, PUBLISHED
from fsl_mrs_dl.train.loop import EpochSampler, TrainConfig, as_narrow, line_scale, train

SMALL = YaeConfig(encoder=(32,), decoder=(32,), quantifier=32)


def test_the_tiny_model_learned(tiny_model):
    errors = tiny_model.card["errors"]
    assert max(errors["published conditions"].values()) < 0.05
    assert max(errors["held-out scans of recipe phantom"].values()) < 0.08
    assert tiny_model.card["basis"]["fingerprint"] == tiny_model.config.basis_fingerprint
    assert not tiny_model.network.training


def test_the_same_seed_gives_the_same_weights(tiny_basis):
    plan = TrainConfig(number=1280, batch=64, epochs=2, held_out=64)
    one, again = (train("yae", tiny_basis, PUBLISHED, plan, SMALL, progress=False) for _ in range(2))
    for first, second in zip(one.network.parameters(), again.network.parameters()):
        assert torch.equal(first, second)


def test_checkpoints_and_metrics_are_kept_and_the_best_is_taken(tiny_basis, tmp_path):
    plan = TrainConfig(number=1280, batch=64, epochs=2, held_out=64)
    train("yae", tiny_basis, PUBLISHED, plan, SMALL, work_dir=tmp_path, progress=False)
    assert {"best.ckpt", "last.ckpt", "metrics.csv"} <= {path.name for path in tmp_path.iterdir()}
    header = (tmp_path / "metrics.csv").read_text().splitlines()[0]
    assert "error" in header and "loss" in header


def test_a_loss_that_is_no_number_stops_the_training(tiny_basis, monkeypatch):
    monkeypatch.setattr(Yae, "loss", lambda self, output, truth: output.fractions.sum() * float("nan"))
    with pytest.raises(ModelError, match="lower the learning rate"):
        train("yae", tiny_basis, PUBLISHED, TrainConfig(number=640, batch=64, epochs=1), SMALL, progress=False)


def test_epochs_take_new_scans():
    sampler = EpochSampler(3)
    first = list(sampler)
    sampler.set_epoch(1)
    assert first == [0, 1, 2] and list(sampler) == [3, 4, 5]


def test_plans_and_scales():
    with pytest.raises(ConfigError, match="raise the number"):
        TrainConfig(number=100, batch=64, epochs=2)
    with pytest.raises(ConfigError, match="clip"):
        TrainConfig(clip=0.0)
    scale = line_scale(PHANTOM, 1.0)
    low, high = PHANTOM.shift_hz
    assert scale.centre[2] == (low + high) / 2 and scale.half_range[2] == (high - low) / 2


def test_a_basis_of_wide_lines_trains_as_if_they_were_the_narrowest_asked_for(tiny_basis):
    assert as_narrow(tiny_basis, PHANTOM) is tiny_basis
    wide = dataclasses.replace(tiny_basis, linewidth_hz=4.0)
    assert as_narrow(wide, PHANTOM).linewidth_hz == PHANTOM.lorentz_hz[0]
    assert as_narrow(wide, PHANTOM).fingerprint() == tiny_basis.fingerprint()
    plan = TrainConfig(number=128, batch=64, epochs=1, held_out=64)
    model = train("yae", wide, PUBLISHED, plan, SMALL, progress=False)
    assert model.config.basis_linewidth_hz == PUBLISHED.lorentz_hz[0]
