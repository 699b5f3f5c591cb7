"""One training loop for every network."""

import logging
import math
import os
import platform
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import lightning
import torch
from lightning.pytorch import callbacks, loggers
from torch.utils.data import DataLoader, Sampler

from .._version import __version__
from ..errors import ConfigError, ModelError
from ..model.card import versions
from ..model.checkpoint import ModelConfig, TrainedModel, build_network
from ..model.inputs import InputConfig, network_input
from ..model.networks import network_classes
from ..model.output import LineScale
from ..synth.dataset import GRID_DWELL_S, GRID_POINTS, Stream, as_narrow
from ..synth.priors import PUBLISHED
from .validate import simulated_errors, truth_of

HELD_OUT_SEED_STEP = 7919
"""Validation and test streams take the training seed plus this and twice this: never the same scans."""

RISE = 0.05
"""Share of the training over which the learning rate rises."""


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        number: scans to train on; every one is new.
        batch: scans per step.
        learning_rate: the highest one; it rises over the first twentieth and falls along a cosine to nothing.
        weight_decay: of the weights.
        clip: largest gradient norm.
        epochs: parts of the training after each of which errors are measured and a checkpoint is written.
        patience: epochs without improvement after which training stops.
        held_out: scans never trained on that the final errors are measured on.
        seed: of weights and scans.
        precision: of the arithmetic, as Lightning names it.
    """

    number: int = 2_000_000
    batch: int = 256
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-4
    clip: float = 1.0
    epochs: int = 40
    patience: int = 10
    held_out: int = 10_000
    seed: int = 1
    precision: str = "32-true"

    def __post_init__(self):
        for name in ("number", "batch", "learning_rate", "clip", "epochs", "patience", "held_out"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}.")
        if self.number < self.batch * self.epochs:
            raise ConfigError(
                f"{self.number} scans are less than a batch of {self.batch} in each of {self.epochs} epochs: "
                "raise the number of scans or lower the epochs."
            )

    @property
    def steps_per_epoch(self):
        """Batches in one epoch."""
        return self.number // (self.batch * self.epochs)


class EpochSampler(Sampler):
    """Numbers of the stream's batches: each epoch takes the next ones."""

    def __init__(self, steps):
        self.steps, self.epoch = steps, 0

    def set_epoch(self, epoch):
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self):
        return self.steps

    def __iter__(self):
        return iter(range(self.epoch * self.steps, (self.epoch + 1) * self.steps))


class Trainee(lightning.LightningModule):
    """A network with its optimiser and its errors, for Lightning's trainer.

    Args:
        network: with `forward` and `loss`.
        config: ModelConfig.
        plan: TrainConfig.
        scans: Stream to train on.
        held_out: Stream of the scans that errors are measured on.
    """

    def __init__(self, network, config, plan, scans, held_out):
        super().__init__()
        self.network, self.config, self.plan = network, config, plan
        self.scans, self.held_out = scans, held_out

    def training_step(self, index, _):
        """Loss on one batch of simulated scans."""
        batch = self.scans[index].to(self.device)
        channels, scale = network_input(batch.measured, self.config.input)
        truth = truth_of(batch, self.config.input, self.config.line, self.config.basis_linewidth_hz, scale)
        loss = self.network.loss(self.network(channels), truth)
        if not torch.isfinite(loss):
            raise ModelError(
                f"The loss became {loss.item()} in step {self.global_step}: lower the learning rate; "
                "the last checkpoint is whole."
            )
        self.log("loss", loss, prog_bar=True, batch_size=self.scans.batch)
        return loss

    def validation_step(self, index, _):
        """Mean absolute error on one held-out batch."""
        errors = simulated_errors(self.network, self.config.input, self.held_out, [index])
        self.log("error", errors.mean().float(), prog_bar=True, batch_size=self.held_out.batch)

    def configure_optimizers(self):
        """AdamW on one cycle of learning rates."""
        plan = self.plan
        optimiser = torch.optim.AdamW(self.network.parameters(), plan.learning_rate, weight_decay=plan.weight_decay)
        total = plan.epochs * plan.steps_per_epoch
        cycle = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rise_and_fall(step / total))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


def rise_and_fall(done):
    """Share of the highest learning rate when a share `done` of the training is over."""
    return min(done / RISE + 0.01, 0.5 + 0.5 * math.cos(math.pi * min(done, 1.0)))


def line_scale(recipe, basis_linewidth_hz):
    """Centre and half-range of the line parameters that a recipe draws."""
    extra = sum(recipe.metabolite_lorentz_hz) / 2
    lorentz = tuple(value - basis_linewidth_hz + extra for value in recipe.lorentz_hz)
    pairs = (lorentz, recipe.gauss_hz, recipe.shift_hz, recipe.phase_rad)
    centre = tuple(float(low + high) / 2 for low, high in pairs)
    return LineScale(centre, tuple(max(float(high - low) / 2, 0.1) for low, high in pairs))


def train(
    network_name, basis, recipe, plan, options=None, pool=None, work_dir=None, accelerator="auto", progress=True,
    scans=None,
):  # fmt: skip
    """Train a network on simulated scans.

    Args:
        network_name: one of `model.networks.NETWORKS`.
        basis: BasisSet.
        recipe: what the scans look like.
        plan: TrainConfig.
        options: the network's own configuration; its defaults where None.
        pool: BasisPool of the same sequence and metabolites, or None.
        work_dir: folder for checkpoints and metrics; none are written where None.
        accelerator: as Lightning names it: auto, cpu, gpu.
        progress: show a progress bar.
        scans: synth.store.StoredScans to train on; a Stream of the recipe, with the plan's seed, where None.

    Returns:
        TrainedModel with its errors on held-out scans of the recipe and of the published conditions.
    """
    lightning.seed_everything(plan.seed, verbose=False)
    basis = as_narrow(basis, recipe)
    options = options or network_classes(network_name)[1]()
    grid = InputConfig(len(basis.conditions), float(basis.centre_hz), GRID_POINTS, GRID_DWELL_S)
    config = ModelConfig(
        network_name,
        grid,
        tuple(basis.names),
        tuple(basis.conditions),
        basis.nucleus,
        line_scale(recipe, basis.linewidth_hz),
        basis.fingerprint(),
        float(basis.linewidth_hz),
    )
    network = build_network(config, options)
    scans = scans or Stream(basis, recipe, plan.seed, pool, plan.batch)
    held_out = [Stream(basis, recipe, scans.seed + k * HELD_OUT_SEED_STEP, pool, plan.batch) for k in (1, 2)]
    trainee = Trainee(network, config, plan, scans, held_out[0])
    device = _fit(trainee, plan, work_dir, accelerator, progress)
    network.eval().cpu()
    card = _card(network_name, config, basis, recipe, plan, pool, device)
    card["errors"] = held_out_errors(network, config, held_out[1], basis, plan.held_out)
    return TrainedModel(network_name, config, options, network, card)


def _fit(trainee, plan, work_dir, accelerator, progress):
    """Run Lightning's trainer and leave the best weights in the network; returns the device's name."""
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    hooks = [callbacks.EarlyStopping("error", patience=plan.patience)]
    best = None
    if work_dir is not None:
        best = callbacks.ModelCheckpoint(work_dir, "best", "error", save_last=True, enable_version_counter=False)
        hooks.append(best)
    trainer = lightning.Trainer(
        accelerator=accelerator,
        devices=1,
        precision=plan.precision,
        max_epochs=plan.epochs,
        gradient_clip_val=plan.clip,
        callbacks=hooks,
        logger=loggers.CSVLogger(work_dir, name="", version="") if work_dir is not None else False,
        enable_progress_bar=progress,
        enable_checkpointing=best is not None,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=max(1, plan.steps_per_epoch // 4),
    )
    held_out = range(max(1, 2048 // plan.batch))
    trainer.fit(
        trainee,
        DataLoader(range(plan.number), batch_size=None, sampler=EpochSampler(plan.steps_per_epoch)),
        DataLoader(held_out, batch_size=None),
    )
    if trainer.interrupted:
        raise KeyboardInterrupt
    if best is not None and Path(best.best_model_path).is_file():
        trainee.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
    device = trainer.strategy.root_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()


def held_out_errors(network, config, stream, basis, number):
    """Errors per metabolite on scans never trained on: of the stream's recipe and of the published conditions."""
    published = Stream(basis, PUBLISHED, stream.seed, None, stream.batch)
    titles = {f"held-out scans of recipe {stream.recipe.name}": stream, "published conditions": published}
    batches = range(-(-number // stream.batch))
    return {
        title: dict(zip(config.metabolites, simulated_errors(network, config.input, source, batches).tolist()))
        for title, source in titles.items()
    }


def _card(network_name, config, basis, recipe, plan, pool, device):
    """The model card without its errors."""
    return {
        "name": network_name,
        "purpose": f"{recipe.purpose} They are {', '.join(config.metabolites)} at {basis.centre_hz * 1e-6:.1f} MHz.",
        "not_for": recipe.not_for,
        "training": {
            "network": network_name,
            "machine": f"{device}; {platform.machine()}, {os.cpu_count()} processor cores",
            "scans": plan.number,
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
