"""Training: it learns, it repeats, it stops at nonsense, it keeps checkpoints."""

import dataclasses

import numpy as np
import pytest
import torch

from fsl_mrs_dl.errors import ConfigError, ModelError
from fsl_mrs_dl.model.card import adapted_scans
from fsl_mrs_dl.model.cnn import CnnConfig
from fsl_mrs_dl.model.hybrid import HybridConfig
from fsl_mrs_dl.model.yae import Yae, YaeConfig
from fsl_mrs_dl.synth.priors import PUBLISHED
from fsl_mrs_dl.train.feed import FreshFeed, KeptFeed, Source
from fsl_mrs_dl.train.loop import Hardware, as_narrow, line_scale, model_config, start_text, start_unlike, train
from fsl_mrs_dl.train.plan import TrainConfig
from fsl_mrs_dl.train.trainee import Trainee
from fsl_mrs_dl.train.work_folder import WorkFolder

from .conftest import PHANTOM

CPU = torch.device("cpu")
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


def test_a_training_starts_from_the_weights_of_a_model(tiny_basis, tiny_model):
    still = TrainConfig(number=64, batch=64, epochs=1, held_out=64, learning_rate=1e-12, weight_decay=0)
    other = dataclasses.replace(PUBLISHED, shift_hz=(-9.0, 9.0))
    adapted = dataclasses.replace(tiny_model, card={**tiny_model.card, "adapted_to": {"scans": {"a": "12"}}})
    model = train("yae", tiny_basis, other, still, tiny_model.options, progress=False, start=adapted)
    for first, second in zip(tiny_model.network.parameters(), model.network.parameters(), strict=True):
        assert torch.allclose(first, second, atol=1e-9)
    assert model.config.line != tiny_model.config.line
    known = tiny_model.card["training"]
    assert model.card["training"]["start"] == f"weights of yae: {known['scans']} scans on {known['machine']}"
    assert adapted_scans(model.card) == {"a": "12"}
    further = start_text(model, model.config)
    assert further.startswith("weights of yae: 64 scans on ") and further.endswith(model.card["training"]["start"])
    bare, moved = dataclasses.replace(model, card={}), dataclasses.replace(model.config, basis_fingerprint="12")
    assert start_text(bare, model.config) == "weights of yae: unknown scans on unknown"
    assert start_text(bare, moved) == "weights of yae: unknown scans on unknown, another basis set"
    with pytest.raises(ConfigError, match="cannot start from yae: its options differ in encoder, decoder, quantifier"):
        train("yae", tiny_basis, other, still, SMALL, progress=False, start=tiny_model)


def test_what_keeps_a_training_from_starting_is_named(tiny_basis, tiny_model):
    own, options = tiny_model.config, tiny_model.options
    assert start_unlike(tiny_model, own, options) == []
    moved = dataclasses.replace(own, line=line_scale(PUBLISHED, 0.5))
    assert start_unlike(tiny_model, moved, options) == []
    cases = [
        (dataclasses.replace(own, network="cnn"), CnnConfig(), "its network is yae, not cnn"),
        (own, dataclasses.replace(options, quantifier=32), "its options differ in quantifier ("),
        (dataclasses.replace(own, basis_linewidth_hz=2.0), options, "count as 1 Hz, not 2 Hz wide"),
        (dataclasses.replace(own, metabolites=own.metabolites[::-1]), options, "in this order"),
        (dataclasses.replace(own, input=dataclasses.replace(own.input, points=1024)), options, "its input is another"),
    ]
    for config, sizes, word in cases:
        (found,) = start_unlike(tiny_model, config, sizes)
        assert word in found
    another = dataclasses.replace(own, basis_fingerprint="12", basis_linewidth_hz=2.0)
    assert start_unlike(tiny_model, another, options) == []
    both = dataclasses.replace(own, network="cnn", metabolites=own.metabolites[:1])
    assert len(start_unlike(tiny_model, both, CnnConfig())) == 2


def test_a_training_goes_on_with_another_basis_set(tiny_basis):
    plan = TrainConfig(number=64, batch=64, epochs=1, held_out=64)
    still = dataclasses.replace(plan, learning_rate=1e-12, weight_decay=0)
    sizes = HybridConfig(widths=(8, 8), dense=16)
    own = train("hybrid", tiny_basis, PUBLISHED, plan, sizes, progress=False)
    other = dataclasses.replace(tiny_basis, fids=tiny_basis.fids * np.array([1.0, 1.2])[:, None, None])
    model = train("hybrid", other, PUBLISHED, still, sizes, progress=False, start=own)
    assert model.config.basis_fingerprint == other.fingerprint() != own.config.basis_fingerprint
    for first, second in zip(own.network.parameters(), model.network.parameters(), strict=True):
        assert torch.allclose(first, second, atol=1e-9)
    # The weights are those it began with, the basis set inside the network is the new one.
    new, old = (torch.view_as_complex(one.network.basis) for one in (model, own))
    ratio = (new[1].abs().sum() / new[0].abs().sum()) / (old[1].abs().sum() / old[0].abs().sum())
    assert ratio.item() == pytest.approx(1.2, rel=1e-4)
    assert "another basis set" in model.card["training"]["start"]


@pytest.fixture(scope="module")
def first(tiny_basis):
    """A model to start from."""
    plan = TrainConfig(number=128, batch=64, epochs=2, held_out=64)
    return train("yae", tiny_basis, PUBLISHED, plan, SMALL, progress=False)


def same(states, others):
    """Whether two states of a network are the same to the bit."""
    return all(torch.equal(others[name], one) for name, one in states.items())


@pytest.mark.parametrize(
    "errors, rows, epochs",
    [
        ([0.3, 0.5, 0.4, 0.45, 0.45, 0.45], 5, "5, none better than the start, whose weights these are"),
        ([0.3, 0.5, 0.2, 0.4, 0.4, 0.4], 5, "5, the best one 2"),
        ([0.3, 0.5, 0.4, 0.35, 0.3, 0.31, 0.29], 6, "6, the best one 6"),
    ],
)
def test_the_start_is_the_best_until_an_epoch_is_better(tiny_basis, first, tmp_path, monkeypatch, errors, rows, epochs):
    found = iter(errors)
    monkeypatch.setattr(Trainee, "validation_error", lambda self: next(found))
    plan = TrainConfig(number=16 * 6, batch=16, epochs=6, held_out=16, patience=3)
    work = WorkFolder(tmp_path / "work", {})
    work.open()
    model = train("yae", tiny_basis, PUBLISHED, plan, SMALL, work=work, progress=False, start=first)
    last = work.read_state("last.ckpt")
    assert [row["error"] for row in last["history"]] == errors[1 : rows + 1]
    assert [row["epoch"] for row in last["history"]] == list(range(1, rows + 1))
    assert last["counts"]["start_error"] == 0.3 and last["counts"]["best_error"] == min(errors[1:])
    assert model.card["training"]["epochs"] == epochs and model.card["training"]["error of the start"] == 0.3
    assert same(first.network.state_dict(), model.network.state_dict()) is ("none" in epochs)
    assert same(work.read_state("best.ckpt"), model.network.state_dict())


@pytest.mark.parametrize("rate", [0.5, 1e-4])
def test_a_training_from_a_start_resumes_to_the_same_and_never_ends_worse(
    tiny_basis, first, tmp_path, monkeypatch, rate
):
    plan = TrainConfig(number=16 * 12, batch=16, epochs=3, held_out=64, learning_rate=rate)
    works = [WorkFolder(tmp_path / name, {}) for name in ("whole", "broken")]
    for work in works:
        work.open()
    what = ("yae", tiny_basis, PUBLISHED, plan, SMALL)
    whole = train(*what, work=works[0], progress=False, start=first)
    plain, measured = Trainee.training_step, []

    def breaks(self, step, place):
        if self.epoch == 1:
            raise ZeroDivisionError
        return plain(self, step, place)

    monkeypatch.setattr(Trainee, "training_step", breaks)
    with pytest.raises(ZeroDivisionError):
        train(*what, work=works[1], progress=False, start=first)
    monkeypatch.setattr(Trainee, "training_step", plain)
    error = Trainee.validation_error
    monkeypatch.setattr(Trainee, "validation_error", lambda self: measured.append(error(self)) or measured[-1])
    again = train(*what, work=works[1], progress=False, start=first, resume=True)
    # Two epochs were left; the start is not measured again.
    assert len(measured) == 2
    assert same(whole.network.state_dict(), again.network.state_dict())
    one, other = (work.read_state("last.ckpt") for work in works)
    assert same(one["network"], other["network"])
    start_error, epochs = one["counts"]["start_error"], [row["error"] for row in one["history"]]
    assert other["counts"]["start_error"] == start_error
    assert other["history"][-1]["error"] == epochs[-1]
    # Huge steps ruin a model, small ones do not: the start is kept in the first case alone.
    kept = same(first.network.state_dict(), whole.network.state_dict())
    assert kept is (rate == 0.5) and kept is (min(epochs) >= start_error)


def test_a_start_whose_error_is_no_number_is_refused(tiny_basis, first, monkeypatch):
    monkeypatch.setattr(Trainee, "validation_error", lambda self: float("nan"))
    plan = TrainConfig(number=16, batch=16, epochs=1, held_out=16)
    with pytest.raises(ModelError, match="weights to start from is nan"):
        train("yae", tiny_basis, PUBLISHED, plan, SMALL, progress=False, start=first)


def test_checkpoints_and_metrics_are_kept_and_the_best_is_taken(tiny_basis, tmp_path):
    plan = TrainConfig(number=1280, batch=64, epochs=2, held_out=64)
    work = WorkFolder(tmp_path / "work", {})
    work.open()
    model = train("yae", tiny_basis, PUBLISHED, plan, SMALL, work=work, progress=False)
    made = {path.name for path in work.path.iterdir()}
    assert {"best.ckpt", "last.ckpt", "metrics.csv", "learning_curves.png", "settings.json"} <= made
    assert (work.path / "learning_curves.png").read_bytes()[:4] == b"\x89PNG"
    best = work.read_state("best.ckpt")
    assert all(torch.equal(best[name], one) for name, one in model.network.state_dict().items())
    header, *rows = (work.path / "metrics.csv").read_text().splitlines()
    assert len(rows) == 2 and model.card["training"]["scans"] == 1280
    assert "error" in header and "loss" in header


def test_a_loss_that_is_no_number_stops_the_training_and_keeps_the_checkpoint(tiny_basis, tmp_path, monkeypatch):
    plain = Yae.loss

    def breaks(self, output, truth, epoch=0):
        return plain(self, output, truth, epoch) * (1 if epoch == 0 else float("nan"))

    monkeypatch.setattr(Yae, "loss", breaks)
    plan = TrainConfig(number=384, batch=64, epochs=2, held_out=64)
    work = WorkFolder(tmp_path / "work", {})
    work.open()
    with pytest.raises(ModelError, match="epoch 2.*lower the learning rate; the checkpoint of the epoch before"):
        train("yae", tiny_basis, PUBLISHED, plan, SMALL, work=work, progress=False)
    last = work.read_state("last.ckpt")
    assert last["counts"]["epoch"] == 1
    assert all(torch.isfinite(one).all() for one in last["network"].values())


def feed_source(tiny_basis, batch):
    """Configuration and training scans made 256 at once."""
    config = model_config("yae", tiny_basis, PUBLISHED, SMALL)
    return config, Source(tiny_basis, PUBLISHED, None, 3, batch).stream(PUBLISHED, 3, CPU, None, 256)


def test_steps_and_devices_take_different_scans(tiny_basis):
    config, scans = feed_source(tiny_basis, 128)
    feeds = [FreshFeed(scans, 128, config, CPU, rank, 2) for rank in (0, 1)]
    seen = torch.cat([feed(step, 0)[1].fractions for feed in feeds for step in range(4)])
    drawn = torch.cat([scans[index].draw.concentrations for index in (0, 2, 1, 3)])
    torch.testing.assert_close(seen, drawn / drawn.sum(1, keepdim=True))


def test_passes_see_every_scan_once_in_a_new_order(tiny_basis):
    config, scans = feed_source(tiny_basis, 32)
    feed = KeptFeed(scans, 300, 32, config, CPU, seed=5)
    epochs = [torch.cat([feed(9 * epoch + step, epoch)[0] for step in range(9)]) for epoch in (0, 1)]
    assert feed.steps == 9 and not torch.equal(*epochs)
    sums = [one.double().square().sum((1, 2)).sort().values for one in epochs]
    torch.testing.assert_close(*sums)
    assert len(sums[0].unique()) == 288
    again = KeptFeed(scans, 300, 32, config, CPU, seed=5)(10, 1)[0]
    assert torch.equal(again, epochs[1][32:64])
    second = [KeptFeed(scans, 300, 32, config, CPU, seed=5, rank=rank, world=2)(0, 0)[0] for rank in (0, 1)]
    assert torch.equal(torch.cat(second), epochs[0][:64])


def test_a_training_by_time_ends_in_time_with_a_small_learning_rate(tiny_basis, tmp_path):
    plan = TrainConfig(time_s=4.0, batch=16, epochs=2, held_out=32)
    work = WorkFolder(tmp_path / "work", {})
    work.open()
    train("yae", tiny_basis, PUBLISHED, plan, SMALL, work=work, progress=False)
    rows = work.read_state("last.ckpt")["history"]
    assert len(rows) == 2 and rows[-1]["step"] > rows[0]["step"] > 0
    assert 4.0 <= rows[-1]["seconds"] < 12.0
    assert rows[-1]["learning_rate"] < 0.2 * plan.learning_rate


def test_a_plateau_halves_the_learning_rate_and_patience_ends_the_training(tiny_basis, tmp_path, monkeypatch):
    errors = iter([0.5, 0.4, 0.6, 0.6, 0.6, 0.6, 0.6])
    monkeypatch.setattr("fsl_mrs_dl.train.trainee.Trainee.validation_error", lambda self: next(errors))
    plan = TrainConfig(
        number=16 * 20, batch=16, epochs=20, held_out=16, schedule="plateau", plateau_epochs=2, patience=5,
        optimiser="adam", learning_rate=1e-3,
    )  # fmt: skip
    work = WorkFolder(tmp_path / "work", {})
    work.open()
    train("yae", tiny_basis, PUBLISHED, plan, SMALL, work=work, progress=False)
    rates = [row["learning_rate"] for row in work.read_state("last.ckpt")["history"]]
    assert rates == [1e-3] * 4 + [5e-4] * 2 + [2.5e-4]


def test_hardware_is_checked():
    for given, word in (({"devices": 0}, "devices"), ({"nodes": 0}, "nodes"), ({"strategy": "magic"}, "strategy")):
        with pytest.raises(ConfigError, match=word):
            Hardware(**given)


def test_plans_and_scales():
    with pytest.raises(ConfigError, match="raise the number"):
        TrainConfig(number=100, batch=64, epochs=2)
    wrong = {"clip": 0.0, "optimiser": "sgd", "schedule": "none", "precision": "8", "passes": -1, "time_s": -1.0}
    for name, value in wrong.items():
        with pytest.raises(ConfigError, match=name):
            TrainConfig(**{name: value})
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
