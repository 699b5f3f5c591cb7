"""The speed of training: a number for every network, and what it counts."""

import torch

from fsl_mrs_dl.model.output import SPREAD_UNITS
from fsl_mrs_dl.model.presets import Preset, preset_named
from fsl_mrs_dl.synth.priors import PUBLISHED
from fsl_mrs_dl.train import benchmark
from fsl_mrs_dl.train.loop import Hardware

SMALL = Preset("yae", {"encoder": [8], "decoder": [8], "quantifier": 8}, {"batch": 16})


def test_a_table_of_every_network(tiny_basis, monkeypatch):
    monkeypatch.setattr(benchmark, "preset_names", lambda: ("yae", "tiny"))
    monkeypatch.setattr(benchmark, "preset_named", lambda name: SMALL if name == "tiny" else preset_named(name))
    monkeypatch.setattr(benchmark, "training_speed", lambda preset, *_: (100.0, preset.plan.get("batch", 256)))
    header, *rows, last = benchmark.benchmark_table(tiny_basis, PUBLISHED, None, Hardware("cpu")).splitlines()
    assert [row.split()[:4] for row in rows] == [["yae", "cpu", "256", "100"], ["tiny", "cpu", "16", "100"]]
    assert "scans/s" in header and "recipe published" in last


def test_speed_counts_scans(tiny_basis):
    speed, batch = benchmark.training_speed(SMALL, tiny_basis, PUBLISHED, None, torch.device("cpu"), seconds=0.2)
    assert batch == 16 and speed > 0
    _, batch = benchmark.training_speed(SMALL, tiny_basis, PUBLISHED, None, torch.device("cpu"), 32, seconds=0.0)
    assert batch == 32


def test_weights_are_counted(tiny_basis):
    channels, latent, metabolites = 4, 8, len(tiny_basis.names)
    bins = benchmark.model_config("yae", tiny_basis, PUBLISHED, None).input.bins
    wanted = (channels * bins * latent + latent) + 2 * latent + (latent * latent + latent) + 2 * latent
    wanted += latent * channels * bins + channels * bins
    wanted += (latent * latent + latent) + (latent * (metabolites + 4) + metabolites + 4)
    wanted += latent * SPREAD_UNITS + SPREAD_UNITS + SPREAD_UNITS * metabolites + metabolites
    assert benchmark.weight_count(SMALL, tiny_basis, PUBLISHED) == wanted


def test_devices():
    assert benchmark.devices("cpu") == [torch.device("cpu")]
    assert benchmark.devices("auto")[0] == torch.device("cpu")


def test_networks_of_two_spectra_are_left_out_for_one(single_basis, monkeypatch):
    monkeypatch.setattr(benchmark, "preset_names", lambda: ("hybrid", "guarded"))
    monkeypatch.setattr(benchmark, "training_speed", lambda *_: (100.0, 256))
    _, one, other, _ = benchmark.benchmark_table(single_basis, PUBLISHED, None, Hardware("cpu")).splitlines()
    assert one.split()[:2] == ["hybrid", "cpu"] and "guarded" in other and "for 2 spectra" in other
