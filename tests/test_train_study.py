"""Model selection: trials, what they keep, failures, resuming, other settings, the report."""

import csv
import json

import optuna
import pytest
import torch

from fsl_mrs_dl.config import from_dict
from fsl_mrs_dl.errors import BasisError, ConfigError, ModelError
from fsl_mrs_dl.model.hybrid import HybridConfig
from fsl_mrs_dl.model.layers import Choice, Span
from fsl_mrs_dl.model.output import SPREAD_UNITS
from fsl_mrs_dl.model.yae import Yae, YaeConfig
from fsl_mrs_dl.synth.priors import PUBLISHED, RECIPES
from fsl_mrs_dl.train import select, study
from fsl_mrs_dl.train.loop import Hardware
from fsl_mrs_dl.train.select import Search, SelectConfig, megaflops, suggest
from fsl_mrs_dl.train.select_report import best, front, write_report
from fsl_mrs_dl.train.study import Trial, finished_trials, importances, open_study, run_trials

TINY = {
    "units": Choice((16, 32)),
    "encoder_layers": Span(1, 2),
    "decoder_layers": Span(1, 1),
    "quantifier": Choice((16,)),
}


@pytest.fixture
def search(tiny_basis, monkeypatch):
    """A search of seconds: small networks, few scans."""
    monkeypatch.setattr(YaeConfig, "SEARCH", TINY)
    config = SelectConfig("yae", number=320, epochs=2, batch=32)
    return Search(config, tiny_basis, PUBLISHED, hardware=Hardware("cpu"))


def run(search, storage, trials, **options):
    """A study run to a number of trials, and its trials."""
    found = open_study(search, storage)
    run_trials(search, found, trials, **options)
    return found, finished_trials(found)


def test_two_trials_then_one_more(search, tmp_path):
    seen = []
    _, first = run(search, tmp_path / "study.db", 2, watch=lambda trial, error: seen.append((trial.number, error)))
    assert [number for number, _ in seen] == [0, 1] and seen[1][1] == min(trial.error for trial in first)
    kept, more = run(search, tmp_path / "study.db", 3)
    assert more[:2] == first and len(more) == 3
    assert len(run(search, tmp_path / "study.db", 3)[1]) == 3
    for trial in more:
        assert trial.state == "complete" and set(trial.errors) == {"Cr", "GABA", "NAA"}
        assert trial.error == pytest.approx(sum(trial.errors.values()) / 3)
        options = from_dict(YaeConfig, trial.options)
        assert options.encoder[0] == trial.parameters["units"] and trial.mflop > 0 and trial.seconds > 0
    assert sum(importances(kept).values()) == pytest.approx(1)


def test_a_network_that_asks_for_the_basis_set_gets_it(tiny_basis, tmp_path, monkeypatch):
    space = {"first": Choice((8,)), "growth": Choice((1.0,)), "dense": Choice((16,))}
    monkeypatch.setattr(HybridConfig, "SEARCH", space)
    config = SelectConfig("hybrid", number=320, epochs=1, batch=32)
    _, (trial,) = run(Search(config, tiny_basis, PUBLISHED, hardware=Hardware("cpu")), tmp_path / "study.db", 1)
    # Least squares on a basis of zeros would give all concentrations as 0.
    assert trial.state == "complete" and 0 < trial.error < 0.3 and trial.mflop > 0


def test_the_same_seed_proposes_and_finds_the_same(search, tmp_path):
    one, other = (run(search, tmp_path / name, 2)[1] for name in ("one.db", "other.log"))
    assert [(t.parameters, t.error) for t in one] == [(t.parameters, t.error) for t in other]


def test_folds_are_averaged(search, tmp_path, monkeypatch):
    folds = []

    def errors(self, trial, options, rate, fold):
        folds.append(fold)
        return torch.full((3,), 0.1 * (fold + 1), dtype=torch.float64)

    monkeypatch.setattr(Search, "_errors", errors)
    search = Search(SelectConfig("yae", 320, 3, 2, 32), search.basis, PUBLISHED)
    assert run(search, tmp_path / "study.db", 1)[1][0].error == pytest.approx(0.2) and folds == [0, 1, 2]


def test_a_failing_trial_is_recorded_and_skipped(search, tmp_path, monkeypatch):
    right = Yae.forward
    monkeypatch.setattr(Yae, "forward", lambda self, channels: right(self, channels * float("nan")))
    found = open_study(search, tmp_path / "study.db")
    run_trials(search, found, 1)
    with pytest.raises(ModelError, match="None of 1 trials is complete. The first failed with: ModelError: The loss"):
        finished_trials(found)
    monkeypatch.setattr(Yae, "forward", right)
    _, trials = run(search, tmp_path / "study.db", 2)
    assert [trial.state for trial in trials] == ["failed", "complete"] and trials[0].error is None
    assert best(trials) is trials[1]


def test_poor_trials_are_stopped_early(search, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "STARTUP_TRIALS", 1)
    monkeypatch.setattr(study, "PRUNE_AFTER_EPOCHS", 0)
    found = open_study(search, tmp_path / "study.db")
    run_trials(search, found, 1)
    monkeypatch.setattr(select, "LEARNING_RATE", Span(1e-9, 1e-8, log=True))
    found.enqueue_trial({"learning_rate": 1e-9})
    run_trials(search, found, 2)
    assert [trial.state for trial in finished_trials(found)] == ["complete", "pruned"]


def test_no_trial_begins_after_the_time(search, tmp_path):
    found = open_study(search, tmp_path / "study.db")
    run_trials(search, found, 50, time_s=1e-3)
    assert len(finished_trials(found)) == 1


def test_other_settings_and_unknown_storages_are_refused(search, tmp_path):
    open_study(search, tmp_path / "study.db")
    other = Search(SelectConfig("yae", 320, epochs=3, batch=32), search.basis, PUBLISHED)
    with pytest.raises(ConfigError, match=r"begun with another epochs \(2, not 3\)"):
        open_study(other, tmp_path / "study.db")
    (tmp_path / "text.db").write_text("no database at all, " * 100)
    for storage in (tmp_path / "text.db", "nosuch://secret@host/db", tmp_path / "none" / "study.db"):
        with pytest.raises(ConfigError, match="study cannot be opened") as caught:
            open_study(search, storage)
        assert "secret" not in str(caught.value)


def test_what_every_trial_would_fail_with_is_refused_before(search):
    search.check()
    with pytest.raises(BasisError, match="pool"):
        Search(search.config, search.basis, RECIPES["multi-adc"]).check()
    with pytest.raises(ConfigError, match="raise the number"):
        Search(SelectConfig("yae", 100, batch=64), search.basis, PUBLISHED).check()
    for options, words in (({"folds": 1}, "folds must be 2"), ({"number": 5}, "number must be between 20")):
        with pytest.raises(ConfigError, match=words):
            SelectConfig("yae", **options)
    with pytest.raises(ConfigError, match="no network"):
        SelectConfig("transformer")


def test_a_network_without_a_space_is_refused(monkeypatch):
    monkeypatch.delattr(YaeConfig, "SEARCH")
    with pytest.raises(ConfigError, match="declares no space"):
        SelectConfig("yae")


def test_values_come_from_their_spaces():
    fixed = optuna.trial.FixedTrial({"layers": 3, "rate": 0.01, "kind": "b"})
    assert suggest(fixed, "layers", Span(1, 4)) == 3 and suggest(fixed, "kind", Choice(("a", "b"))) == "b"
    assert suggest(fixed, "rate", Span(1e-3, 1.0, log=True)) == 0.01


def test_cost_counts_multiplications_and_additions(search):
    options = YaeConfig((8,), (4,), 16)
    model = search._model(options)
    wide = model.input.channels * model.input.bins
    layers = wide * 8 + 8 * 4 + 4 * wide + 8 * 16 + 16 * (3 + 4) + 8 * SPREAD_UNITS + SPREAD_UNITS * 3
    assert megaflops(model, options) == pytest.approx(2e-6 * layers)


def test_the_report(tmp_path):
    def trial(number, state, error, mflop, failure=""):
        errors = {} if error is None else {"Cr": error}
        return Trial(number, state, error, errors, mflop, 1.0, {"dense": number}, {"units": 8, "rate": 0.1}, failure)

    trials = [
        trial(0, "complete", 0.02, 1.0),
        trial(1, "complete", 0.03, 2.0),
        trial(2, "complete", 0.01, 3.0),
        trial(3, "pruned", None, 4.0),
        trial(4, "failed", None, None, "no memory"),
    ]
    assert [one.number for one in front(trials)] == [0, 2]
    settings = {"network": "cnn", "recipe": {"name": "soup"}, "number": 9, "epochs": 1, "seed": 1, "folds": 0}
    write_report(tmp_path, trials, {"units": 0.9, "rate": 0.1}, settings, "the command")
    assert json.loads((tmp_path / "best.json").read_text()) == {"dense": 2}
    rows = list(csv.DictReader((tmp_path / "trials.csv").open()))
    assert [row["state"] for row in rows] == ["complete"] * 3 + ["pruned", "failed"]
    assert rows[1]["error_Cr"] == "0.03" and rows[4]["failure"] == "no memory" and rows[4]["error"] == ""
    page = (tmp_path / "selection.md").read_text()
    assert "| 2* | 0.0100 | 3.00 | 8 | 0.1 |" in page and "the command" in page and "trial 4: no memory" in page
    for name in ("history", "front", "importances"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
