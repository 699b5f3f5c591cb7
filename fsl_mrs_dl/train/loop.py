"""One training for every network: from a basis set and a recipe to a model with its card."""

import logging
import os
import platform
import signal
import warnings
from dataclasses import asdict, dataclass, fields, replace

import lightning
import torch

from .._version import __version__
from ..config import to_dict
from ..errors import ConfigError
from ..model.card import versions
from ..model.checkpoint import ModelConfig, TrainedModel, build_network
from ..model.inputs import InputConfig
from ..model.networks import network_classes
from ..model.output import LineScale
from ..synth.dataset import GRID_DWELL_S, GRID_POINTS, as_narrow
from ..synth.priors import PUBLISHED
from .bound import least_squares_errors
from .calibrate import calibrate_trained
from .feed import Source
from .trainee import Trainee, tell_basis, untrained
from .validate import simulated_errors
from .watch import Curves, Events, MetricsFile, Progress, tensorboard_is_there
from .work_folder import EVENTS

BOUND_SCANS = 2048
"""Most scans that the least-squares bound is measured on; it changes by 2 % between such sets."""


@dataclass(frozen=True)
class Hardware:
    """Where to train, in Lightning's words.

    Attributes:
        accelerator: auto, cpu or gpu.
        devices: number of devices of each machine; -1 for all.
        nodes: number of machines.
        strategy: auto or ddp.
    """

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"

    def __post_init__(self):
        if self.devices < 1 and self.devices != -1:
            raise ConfigError(f"devices must be 1 or more, or -1 for all, not {self.devices}.")
        if self.nodes < 1:
            raise ConfigError(f"nodes must be 1 or more, not {self.nodes}.")
        if self.strategy not in ("auto", "ddp"):
            raise ConfigError(f"strategy must be auto or ddp, not {self.strategy!r}.")
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            raise ConfigError("There is no GPU that torch can use; take --device cpu, or install torch with CUDA.")


def line_scale(recipe, basis_linewidth_hz):
    """Centre and half-range of the line parameters that a recipe draws."""
    extra = sum(recipe.metabolite_lorentz_hz) / 2
    lorentz = tuple(value - basis_linewidth_hz + extra for value in recipe.lorentz_hz)
    pairs = (lorentz, recipe.gauss_hz, recipe.shift_hz, recipe.phase_rad)
    centre = tuple(float(low + high) / 2 for low, high in pairs)
    return LineScale(centre, tuple(max(float(high - low) / 2, 0.1) for low, high in pairs))


def model_config(network_name, basis, recipe, options):
    """ModelConfig of a network with its own configuration for a basis set (`dataset.as_narrow`) and a recipe."""
    grid = InputConfig(len(basis.conditions), float(basis.centre_hz), GRID_POINTS, GRID_DWELL_S)
    return ModelConfig(
        network_name,
        replace(grid, resample_bins=getattr(options, "input_bins", None)),
        tuple(basis.names),
        tuple(basis.conditions),
        basis.nucleus,
        line_scale(recipe, basis.linewidth_hz),
        basis.fingerprint(),
        float(basis.linewidth_hz),
    )


def settings(
    network_name, basis, recipe, plan, options=None, pool=None, scans=None, hardware=Hardware(), start=None
):
    """All that decides what a training gives, JSON-like; a resumed one must have the same."""
    return {
        "version": __version__,
        "network": network_name,
        "options": to_dict(options or network_classes(network_name)[1]()),
        "plan": to_dict(plan),
        "recipe": to_dict(recipe),
        "basis": as_narrow(basis, recipe).fingerprint(),
        "pool": None if pool is None else f"{len(pool.fids)} bases, seed {pool.seed}",
        "data": None if scans is None else f"{scans.scans} stored scans, seed {scans.seed}",
        "devices": [hardware.devices, hardware.nodes],
        "start": None if start is None else start.weights_sha256,
    }


def train(
    network_name, basis, recipe, plan, options=None, pool=None, work=None, hardware=Hardware(), progress=True,
    scans=None, resume=False, start=None,
):  # fmt: skip
    """Train a network on simulated scans.

    Args:
        network_name: one of `model.networks.NETWORKS`.
        basis: BasisSet.
        recipe: what the scans look like.
        plan: TrainConfig.
        options: the network's own configuration; its defaults where None.
        pool: BasisPool of the same sequence and metabolites, or None.
        work: WorkFolder for checkpoints, metrics and curves; none are written where None.
        hardware: Hardware.
        progress: show a progress bar.
        scans: synth.store.StoredScans to train on; new scans of the recipe, with the plan's seed, where None.
        resume: continue from the last checkpoint in `work`, if there is one.
        start: TrainedModel of the same network, metabolites and spectra whose weights are the first ones, and the
            result unless an epoch has a smaller error on held-out scans; random ones where None. Its basis set may be
            another one.

    Returns:
        TrainedModel with its errors on held-out scans of the recipe and of the published conditions; None in the
        processes but the first of a training on several devices.
    """
    lightning.seed_everything(plan.seed, verbose=False)
    basis = as_narrow(basis, recipe)
    options = options or network_classes(network_name)[1]()
    config = model_config(network_name, basis, recipe, options)
    network = untrained(config, options, basis)
    if start is not None:
        take_weights(network, start, config, options, basis)
    source = Source(basis, recipe, pool, plan.seed if scans is None else scans.seed, plan.batch, scans)
    trainee = Trainee(network, config, plan, source, work, resume=resume, start_counts=start is not None)
    device, is_first = fit(trainee, hardware, progress)
    if not is_first:
        return None
    network.to(device).eval()
    errors = held_out_errors(network, config, source, plan.held_out, device)
    calibration = calibrate_trained(network, config, source, plan.held_out, device)
    card = model_card(network_name, config, basis, recipe, trainee, pool, device)
    card |= errors
    if start is not None:
        card["training"]["start"] = start_text(start, config)
        card["training"]["error of the start"] = trainee.start_error
        # The weights have seen the scans that the other model was adapted to.
        if "adapted_to" in start.card:
            card["adapted_to"] = start.card["adapted_to"]
    return TrainedModel(network_name, config, options, network.cpu(), card, calibration=calibration)


def start_text(start, config):
    """What a training of a ModelConfig began from, in words, as far as the model's card tells."""
    training = start.card.get("training", {})
    scans, machine = training.get("scans", "unknown"), training.get("machine", "unknown")
    earlier = f"; {training['start']}" if "start" in training else ""
    basis = ", another basis set" if of_another_basis(start, config) else ""
    return f"weights of {start.name}: {scans} scans on {machine}{basis}{earlier}"


def of_both_spectra(start):
    """The network of both spectra inside a guarded TrainedModel, as a model of the network hybrid.

    Its card, and so what a training from it tells, stays that of the whole model.
    """
    config = replace(start.config, network="hybrid")
    _, made_of = network_classes(config.network)
    options = made_of(**{field.name: getattr(start.options, field.name) for field in fields(made_of)})
    network = build_network(config, options)
    weights = start.network.state_dict()
    network.load_state_dict({name: weights[name] for name in network.state_dict()})
    made = {"config": config, "options": options, "network": network.eval()}
    return replace(start, **made, calibration=None, trust=None, prior=None, scanner=None)


def take_weights(network, start, config, options, basis):
    """Give an untrained network the weights of a trained one.

    Args:
        network: of `trainee.untrained`.
        start: TrainedModel.
        config, options, basis: of the network.

    Raises:
        ConfigError: the trained one is another network, of another size, or of other metabolites or spectra.
    """
    unlike = start_unlike(start, config, options)
    if unlike:
        raise ConfigError(f"The training cannot start from {start.name}: {'; '.join(unlike)}.")
    network.load_state_dict(start.network.state_dict())
    tell_basis(network, config, basis)


def start_unlike(start, config, options):
    """What keeps a training from starting with a model's weights, each as a phrase that names the way out.

    Args:
        start: TrainedModel.
        config: ModelConfig of the network to train.
        options: its own configuration.
    """
    own, found = start.config, []
    if own.network != config.network:
        found.append(f"its network is {own.network}, not {config.network} (leave --model and --config out)")
    elif start.options != options:
        names = [field.name for field in fields(options)]
        names = [name for name in names if getattr(start.options, name) != getattr(options, name)]
        found.append(f"its options differ in {', '.join(names)} (leave --model and --config out)")
    if own.metabolites != config.metabolites:
        names = f"{', '.join(own.metabolites)}, not {', '.join(config.metabolites)}"
        found.append(f"its metabolites are {names} (give a --basis with the same ones, in this order)")
    elif not of_another_basis(start, config) and own.basis_linewidth_hz != config.basis_linewidth_hz:
        widths = f"{own.basis_linewidth_hz:g} Hz, not {config.basis_linewidth_hz:g} Hz"
        found.append(f"the lines of its basis set count as {widths} wide (give the --recipe that it was trained with)")
    # Basis set and ranges of the lines may be others; the rest is the network's size.
    free = {name: getattr(config, name) for name in ("line", "basis_fingerprint", "basis_linewidth_hz")}
    if found or replace(own, **free) == config:
        return found
    here, there = (one.input.centre_hz * 1e-6 for one in (config, own))
    way_out = f"give a --basis of the same spectra at {there:.6g} MHz, here {here:.6g} MHz, or a model of this version"
    return [f"its input is another one ({way_out})"]


def of_another_basis(start, config):
    """Whether a training from a TrainedModel's weights is for another basis set than that, by its ModelConfig."""
    return start.config.basis_fingerprint != config.basis_fingerprint


def fit(trainee, hardware=Hardware(), progress=True):
    """Run Lightning's trainer and leave the best weights in the network.

    Returns:
        torch device, and whether this is the first process.
    """
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = lightning.Trainer(
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        strategy=hardware.strategy,
        precision=trainee.plan.precision,
        max_epochs=max(1, trainee.plan.parts - trainee.epoch),
        gradient_clip_val=trainee.plan.clip,
        callbacks=[Progress()] if progress else [],
        # The trainee does these itself, at the one place where the state is whole.
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    if trainee.work is not None and trainer.is_global_zero:
        trainee.watchers = [MetricsFile(trainee.work), Curves(trainee.work)]
        if tensorboard_is_there():
            trainee.watchers.append(Events(trainee.work.path / EVENTS, trainee.step + 1))
    if not trainee.finished:
        # A GPU's fastest convolutions do not give the same sum twice.
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(trainee)
        except SystemExit as exc:
            # Lightning's answer to Ctrl-C, after which it lets no other through; only commands exit.
            signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from exc
    if trainee.work is not None and trainer.is_global_zero:
        Curves(trainee.work)(trainee.history)
    trainee.network.load_state_dict(trainee.best_weights)
    return trainer.strategy.root_device, trainer.is_global_zero


def held_out_errors(network, config, source, number, device):
    """Errors per metabolite, and their bounds, on scans never trained on.

    Returns:
        dict of "errors" and "bounds": {test set: {metabolite: mean absolute error}}, for scans of the source's
        recipe and of the published conditions.
    """
    own = source.held_out(2, device)
    published = source.stream(PUBLISHED, own.seed, device)
    titles = {f"held-out scans of recipe {source.recipe.name}": own, "published conditions": published}
    batches, few = (-(-wanted // own.batch) for wanted in (number, min(number, BOUND_SCANS)))
    errors, bounds = {}, {}
    for title, stream in titles.items():
        found = simulated_errors(network, config.input, stream, range(batches))
        errors[title] = dict(zip(config.metabolites, found.tolist()))
        found = least_squares_errors(stream, config.input, range(few))
        bounds[title] = dict(zip(config.metabolites, found.tolist()))
    return {"errors": errors, "bounds": bounds}


def machine_text(device):
    """What a training ran on, in words."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    return f"{name}; {platform.machine()}, {os.cpu_count()} processor cores"


def model_card(network_name, config, basis, recipe, trainee, pool, device):
    """The model card without its errors."""
    plan, last = trainee.plan, trainee.history[-1]
    best = min(trainee.history, key=lambda row: row["error"])
    outcome = f"the best one {best['epoch']}"
    if trainee.start_error is not None and not best["error"] < trainee.start_error:
        outcome = "none better than the start, whose weights these are"
    return {
        "name": network_name,
        "purpose": f"{recipe.purpose} They are {', '.join(config.metabolites)} at {basis.centre_hz * 1e-6:.1f} MHz.",
        "not_for": recipe.not_for,
        "training": {
            "network": network_name,
            "machine": machine_text(device),
            "scans": last["scans"],
            "epochs": f"{last['epoch']}, {outcome}",
            "minutes": round(last["seconds"] / 60, 1),
            "seed": plan.seed,
            "plan": asdict(plan),
            "recipe": asdict(recipe),
            "pool": "none" if pool is None else f"{len(pool.fids)} bases, seed {pool.seed}",
        },
        "basis": {
            "fingerprint": config.basis_fingerprint,
            "metabolites": ", ".join(config.metabolites),
            "conditions": ", ".join(config.conditions),
            "centre (MHz)": basis.centre_hz * 1e-6,
            "linewidth (Hz)": basis.linewidth_hz,
        },
        "versions": {"fsl_mrs_dl": __version__, **versions()},
    }
