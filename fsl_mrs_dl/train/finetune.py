"""Adapting a model to a scanner: real scans mixed with simulated ones.

Scans of known contents teach concentrations. Others teach only through the decoder, which must reproduce them
from the code that concentrations are read from; the simulated scans beside them keep concentrations anchored.
"""

import copy
import math
from dataclasses import asdict, dataclass, replace

import lightning
import torch

from ..errors import DataError, ModelError
from ..model.card import adapted_scans, with_scans
from ..model.checkpoint import TrainedModel
from ..model.inputs import network_input
from .calibrate import calibrate_trained
from .feed import Source, seed_of
from .loop import Hardware, fit, held_out_errors, machine_text
from .trainee import Trainee

ADAPT_PLAN = {"number": 64_000, "batch": 128, "epochs": 5, "learning_rate": 1e-4}
"""Values of a TrainConfig for adapting that differ from those of a training: few scans, small steps."""

REAL_SHARE = 0.25
"""Real scans in a step, relative to the simulated ones."""

SHIFT_HZ, PHASE_RAD, BROADENING_HZ = 2.0, 0.2, 2.0
"""A real scan is shifted and phased by up to these, either way, and broadened by up to this, anew each time it is
seen: there are few, and a network soon knows them by heart."""

RAMPED = 10_000
"""Number of an epoch in which every weight of a loss that rises in training has reached its end."""


@dataclass(frozen=True, eq=False)
class RealScans:
    """Scans to adapt to.

    Attributes:
        fids: (scan, condition, point) complex64 tensor, referenced and phased, on the model's time grid.
        hashes: name of each -> hash of its content (`model.card.content_hash`).
        concentrations: (scan, metabolite) of known contents, in any unit; None where they are not known.
    """

    fids: torch.Tensor
    hashes: dict
    concentrations: torch.Tensor | None = None

    def __post_init__(self):
        if not len(self.fids) or len(self.hashes) != len(self.fids):
            raise DataError(
                f"Adapting needs scans, each with a name of its own, not {len(self.hashes)} names of "
                f"{len(self.fids)} scans."
            )
        truth = self.concentrations
        if truth is not None and not (torch.isfinite(truth).all() and (truth >= 0).all() and (truth.sum(1) > 0).all()):
            raise DataError("Contents of scans must be 0 or more, and not all of a scan 0; correct the table.")


def altered(fids, dwell_s, shift_hz, phase_rad, broadening_hz):
    """Scans shifted, phased and broadened.

    Args:
        fids: (scan, condition, point) complex.
        dwell_s: dwell time (s).
        shift_hz, phase_rad, broadening_hz: (scan,) frequency (Hz, positive to higher ppm), zero-order phase (rad)
            and Lorentzian width (Hz).
    """
    t = torch.arange(fids.shape[-1], device=fids.device) * dwell_s
    angle = phase_rad[:, None] + 2 * math.pi * shift_hz[:, None] * t
    return fids * torch.polar(torch.exp(-math.pi * broadening_hz[:, None] * t), angle)[:, None]


class Adapting(Trainee):
    """A trained network while it is adapted; arguments as of Trainee, and the RealScans.

    There are too few real scans to hold some out, so no epoch is better than another: the last one counts.
    """

    def __init__(self, *args, real, **kwargs):
        super().__init__(*args, **kwargs)
        self.real = real

    def on_train_start(self):
        """Bring the real scans to the device."""
        super().on_train_start()
        self.real_fids = self.real.fids.to(self.device)
        if self.real.concentrations is not None:
            fractions = self.real.concentrations / self.real.concentrations.sum(1, keepdim=True)
            self.real_fractions = fractions.float().to(self.device)

    def loss(self, channels, truth):
        """Loss of simulated scans, and of as many real ones as their share says."""
        simulated = self.network.loss(self.network(channels), truth, epoch=RAMPED)
        with torch.autocast(self.device.type, enabled=False):
            chosen, real_channels = self._real_input(max(1, round(REAL_SHARE * len(channels))))
        output = self.network(real_channels)
        # What is not known of a real scan is taken as the network says it: nothing is learnt of it (but the guess of a
        # hybrid network, which follows what least squares makes of it).
        if self.real.concentrations is not None:
            known = output.known(fractions=self.real_fractions[chosen])
        else:
            # Nor that there were no errors.
            known, output = output.known(clean=real_channels), output.without_spread()
        return simulated + REAL_SHARE * self.network.loss(output, known, epoch=RAMPED)

    def _real_input(self, number):
        """Numbers of real scans, drawn for this step, and their altered input."""
        rank = self.trainer.global_rank
        generator = torch.Generator().manual_seed(seed_of(self.plan.seed, "real", self.step, rank))
        chosen = torch.randint(len(self.real_fids), (number,), generator=generator).to(self.device)
        uniform = (2 * torch.rand(3, number, generator=generator) - 1).to(self.device)
        shift_hz, phase_rad, broadening_hz = SHIFT_HZ * uniform[0], PHASE_RAD * uniform[1], uniform[2].abs()
        grid = self.config.input
        fids = altered(self.real_fids[chosen], grid.dwell_s, shift_hz, phase_rad, BROADENING_HZ * broadening_hz)
        return chosen, network_input(fids, grid)[0]

    def _judge(self, error):
        """Every epoch is better than the one before."""
        self.best_error = error
        return True


def finetune(model, basis, recipe, plan, real, pool=None, work=None, hardware=Hardware(), progress=True, resume=False):
    """Adapt a model to real scans.

    Args:
        model: TrainedModel; it stays as it is.
        basis: BasisSet that it was trained with.
        recipe: Recipe of the simulated scans beside the real ones.
        plan: TrainConfig, such as of `ADAPT_PLAN`.
        real: RealScans.
        pool, work, hardware, progress, resume: as of `loop.train`.

    Returns:
        TrainedModel whose card says which scans it was adapted to; None as of `loop.train`.

    Raises:
        ModelError: the contents of the scans are not known and the network has no decoder to learn through.
    """
    check_teachable(model, real)
    lightning.seed_everything(plan.seed, verbose=False)
    network, config = copy.deepcopy(model.network), model.config
    # Widths count from those of the basis set as in the model's training (`dataset.as_narrow`).
    basis = replace(basis, linewidth_hz=config.basis_linewidth_hz)
    source = Source(basis, recipe, pool, plan.seed, plan.batch)
    trainee = Adapting(network, config, plan, source, work, resume=resume, real=real)
    device, is_first = fit(trainee, hardware, progress)
    if not is_first:
        return None
    network.to(device).eval()
    card = {**model.card, **held_out_errors(network, config, source, plan.held_out, device)}
    # That was of the estimates of the other weights.
    card.pop("corrected_for", None)
    card["adapted_to"] = {
        "model": f"{model.name}, weights {model.weights_sha256}",
        "contents": "unknown: reconstruction only" if real.concentrations is None else "known",
        "machine": machine_text(device),
        "simulated scans": trainee.history[-1]["scans"],
        "plan": asdict(plan),
        "recipe": asdict(recipe),
        "scans": with_scans(adapted_scans(model.card), real.hashes),
    }
    calibration = calibrate_trained(network, config, source, plan.held_out, device)
    return TrainedModel(model.name, config, model.options, network.cpu(), card, calibration=calibration)


def check_teachable(model, real):
    """Refuse scans of unknown contents for a network that learns from concentrations alone; ModelError."""
    if real.concentrations is not None:
        return
    grid = model.config.input
    with torch.no_grad():
        clean = model.network.eval()(torch.zeros(1, grid.channels, grid.bins)).clean
    if clean is None:
        raise ModelError(
            f"The model {model.name} has no decoder, so scans of unknown contents teach it nothing: give --truth, or "
            "adapt a model of the network yae, hybrid or guarded."
        )
