"""Bayesian model selection: which sizes of a network, and which learning rate, give the smallest error.

The space to search is declared beside each network's configuration (`SEARCH`). A Gaussian process over the trials
so far proposes the next one; poor trials are stopped early; every one is kept in a study that can be resumed and
shared. Optuna does all that; what a trial is stands here.
"""

from dataclasses import asdict, dataclass

import lightning
import torch
from torch.utils.flop_counter import FlopCounterMode

from .._version import __version__
from ..config import to_dict
from ..errors import ConfigError, FslMrsDlError
from ..model.checkpoint import build_network
from ..model.layers import Choice, Span
from ..model.networks import network_classes
from ..synth.dataset import as_narrow
from .folds import FoldSource
from .loop import Hardware, fit, model_config
from .plan import TrainConfig
from .trainee import Trainee, untrained
from .validate import simulated_errors

LEARNING_RATE = Span(2e-4, 5e-3, log=True)
"""Searched with every network."""

HELD_OUT_FOLDS = 5
"""Parts of the scans without k-fold validation: one of them is held out, so 80 % train."""

FAILURES = (FslMrsDlError, RuntimeError, MemoryError, ArithmeticError)
"""What a poor configuration may end in: nonsense in the loss, a layer that does not fit, no memory."""


@dataclass(frozen=True)
class SelectConfig:
    """What the trials of a study have in common.

    Attributes:
        network: name of the network (`model.networks.NETWORKS`).
        number: scans of a trial, those held out included.
        folds: parts of k-fold validation: each is held out once, and a trial's error is the mean; 0 holds out a fifth
            of the scans, once.
        epochs: passes through the scans that are trained on.
        batch: scans per step.
        seed: of scans, weights and proposals.
    """

    network: str
    number: int = 10_000
    folds: int = 0
    epochs: int = 30
    batch: int = 64
    seed: int = 1

    def __post_init__(self):
        if not hasattr(network_classes(self.network)[1], "SEARCH"):
            raise ConfigError(f"Network {self.network} declares no space to search (SEARCH beside its configuration).")
        for name, low, high in (("number", 20, 10**9), ("epochs", 1, 10**6), ("batch", 1, 2**20), ("seed", 0, 2**32)):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} must be between {low} and {high}, not {getattr(self, name)}.")
        if self.folds != 0 and not 2 <= self.folds <= 100:
            raise ConfigError(f"folds must be 2 to 100, or 0 to hold out a fifth once, not {self.folds}.")


@dataclass(frozen=True)
class Search:
    """Everything that a trial needs.

    Attributes:
        config: SelectConfig.
        basis: BasisSet.
        recipe: Recipe.
        pool: BasisPool or None.
        hardware: where to train.
    """

    config: SelectConfig
    basis: object
    recipe: object
    pool: object = None
    hardware: Hardware = Hardware()

    def settings(self):
        """All that decides what a trial gives, JSON-like; machines that share a study must have the same."""
        return {
            "version": __version__,
            **asdict(self.config),
            "search": {name: asdict(space) for name, space in self.space().items()},
            "recipe": to_dict(self.recipe),
            "basis": as_narrow(self.basis, self.recipe).fingerprint(),
            "pool": None if self.pool is None else f"{len(self.pool.fids)} bases, seed {self.pool.seed}",
        }

    def space(self):
        """What is searched: {name: Choice or Span}."""
        return {**network_classes(self.config.network)[1].SEARCH, "learning_rate": LEARNING_RATE}

    def check(self):
        """Refuse what every trial would fail with: a device that is not there, too few scans, a pool that is no match.

        Raises:
            FslMrsDlError: with the reason.
        """
        self._source(0).training(torch.device("cpu"))

    def propose(self, trial):
        """The network's configuration and the learning rate that a trial proposes."""
        values = {name: suggest(trial, name, space) for name, space in self.space().items()}
        rate = values.pop("learning_rate")
        return network_classes(self.config.network)[1].searched(**values), rate

    def objective(self, trial):
        """Mean error of a trial over metabolites and folds; its configuration and cost are kept with it."""
        try:
            options, rate = self.propose(trial)
            trial.set_user_attr("options", to_dict(options))
            trial.set_user_attr("mflop", megaflops(self._model(options), options))
            folds = range(self.config.folds or 1)
            errors = torch.stack([self._errors(trial, options, rate, fold) for fold in folds]).mean(0)
        except FAILURES as exc:
            trial.set_user_attr("failure", " ".join(f"{type(exc).__name__}: {exc}".split())[:300])
            raise
        trial.set_user_attr("errors", dict(zip(self.basis.names, errors.tolist())))
        return float(errors.mean())

    def _source(self, fold):
        """Scans of a trial with one part held out."""
        config, basis = self.config, as_narrow(self.basis, self.recipe)
        folds = config.folds or HELD_OUT_FOLDS
        shared = (basis, self.recipe, self.pool, config.seed, config.batch)
        return FoldSource(*shared, number=config.number, folds=folds, fold=fold)

    def _model(self, options):
        """ModelConfig of a trial."""
        return model_config(self.config.network, as_narrow(self.basis, self.recipe), self.recipe, options)

    def _errors(self, trial, options, rate, fold):
        """Errors per metabolite on what was held out, after training on the rest; (metabolite,) float64."""
        config = self.config
        lightning.seed_everything(config.seed, verbose=False)
        source, model = self._source(fold), self._model(options)
        number = config.batch * len(source.trained)
        plan = TrainConfig(number, config.batch, rate, passes=config.epochs, patience=config.epochs, seed=config.seed)
        watchers = [lambda history: _prune(trial, history)] if fold == 0 else []
        network = untrained(model, options, as_narrow(self.basis, self.recipe))
        device, _ = fit(Trainee(network, model, plan, source, watchers=watchers), self.hardware, progress=False)
        held_out = source.held_out(1, device)
        return simulated_errors(network.to(device).eval(), model.input, held_out, range(len(held_out)))


def suggest(trial, name, space):
    """A trial's value from a `Choice` or a `Span`."""
    if isinstance(space, Choice):
        return trial.suggest_categorical(name, space.values)
    whole = isinstance(space.low, int) and isinstance(space.high, int)
    return (trial.suggest_int if whole else trial.suggest_float)(name, space.low, space.high, log=space.log)


def megaflops(model, options):
    """Floating-point operations of one scan through a network (10^6)."""
    network = build_network(model, options).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, model.input.channels, model.input.bins))
    return counter.get_total_flops() / 1e6


def _prune(trial, history):
    """Report an epoch's error; ends the trial where it is a poor one."""
    import optuna

    trial.report(history[-1]["error"], history[-1]["epoch"])
    if trial.should_prune():
        raise optuna.TrialPruned
