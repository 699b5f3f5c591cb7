"""How fast networks train on this machine."""

import time

import torch

from ..config import from_dict
from ..model.checkpoint import build_network
from ..model.networks import network_classes
from ..model.presets import preset_named, preset_names
from ..synth.dataset import as_narrow
from .feed import FreshFeed, Source
from .loop import model_config
from .plan import TrainConfig
from .trainee import untrained

WARM_STEPS = 3


def devices(accelerator):
    """Torch devices to measure on: the processor, and a GPU where there is one; or the one asked for."""
    found = {"cpu": [torch.device("cpu")], "gpu": [torch.device("cuda")]}
    if accelerator != "auto":
        return found[accelerator]
    return found["cpu"] + (found["gpu"] if torch.cuda.is_available() else [])


def training_speed(preset, basis, recipe, pool, device, batch=None, autocast=None, seconds=5.0):
    """Speed of the whole training step: scans made, network, optimiser.

    Args:
        preset: model.presets.Preset.
        basis: BasisSet.
        recipe: Recipe of the scans.
        pool: BasisPool or None.
        device: torch device.
        batch: scans per step; the preset's where None.
        autocast: dtype of mixed precision, or None.
        seconds: how long to measure.

    Returns:
        scans per second, and scans per step.
    """
    basis = as_narrow(basis, recipe)
    plan = from_dict(TrainConfig, preset.plan_with(batch=batch))
    options = from_dict(network_classes(preset.network)[1], preset.options)
    config = model_config(preset.network, basis, recipe, options)
    network = untrained(config, options, basis).to(device).train()
    scans = Source(basis, recipe, pool, plan.seed, plan.batch).training(device)
    feed = FreshFeed(scans, plan.batch, config, device)
    optimiser = torch.optim.AdamW(network.parameters(), plan.learning_rate, fused=device.type == "cuda")
    steps, first, begin = 0, 0, None
    while begin is None or time.perf_counter() - begin < seconds:
        if steps == WARM_STEPS:
            _wait(device)
            begin, first = time.perf_counter(), steps
        channels, truth = feed(steps, 0)
        with torch.autocast(device.type, autocast, enabled=autocast is not None):
            loss = network.loss(network(channels), truth)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), plan.clip)
        optimiser.step()
        steps += 1
        if steps % 32 == 0:
            # A GPU is given work faster than it does it.
            _wait(device)
    _wait(device)
    return (steps - first) * plan.batch / (time.perf_counter() - begin), plan.batch


def _wait(device):
    """Until the device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def benchmark_table(basis, recipe, pool, hardware, precision="32-true", batch=None, seconds=5.0):
    """Training scans per second of every network and preset on every device, as a table of text.

    Args:
        basis, recipe, pool: as of `loop.train`.
        hardware: Hardware.
        precision: as of TrainConfig; mixed precision counts for the GPU.
        batch: scans per step; each network's own where None.
        seconds: how long to measure each.
    """
    mixed = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    lines = [f"{'network':<16}{'device':<8}{'batch':>6}{'scans/s':>10}{'steps/s':>10}{'M weights':>11}"]
    for name in preset_names():
        preset = preset_named(name)
        spectra = getattr(network_classes(preset.network)[0], "spectra", len(basis.conditions))
        if spectra != len(basis.conditions):
            lines.append(f"{name:<16}for {spectra} spectra, which this basis set has not")
            continue
        for device in devices(hardware.accelerator):
            autocast = mixed if device.type == "cuda" else None
            speed, size = training_speed(preset, basis, recipe, pool, device, batch, autocast, seconds)
            weights = weight_count(preset, basis, recipe) / 1e6
            lines.append(f"{name:<16}{device.type:<8}{size:>6}{speed:>10.0f}{speed / size:>10.1f}{weights:>11.2f}")
    threads = torch.get_num_threads()
    return "\n".join([*lines, f"recipe {recipe.name}, {threads} processor threads, torch {torch.__version__}"])


def weight_count(preset, basis, recipe):
    """Number of weights of a preset's network."""
    with torch.device("meta"):
        options = from_dict(network_classes(preset.network)[1], preset.options)
        network = build_network(model_config(preset.network, basis, recipe, options), options)
    return sum(weights.numel() for weights in network.parameters())
