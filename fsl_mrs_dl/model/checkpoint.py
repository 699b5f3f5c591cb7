"""A trained model is one folder: config.json, weights.safetensors, card.json, card.md and, where they were made,
prior.json, calibration.json, trust.json and scanner.json. Nothing is unpickled.
"""

import hashlib
import json
import math
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from ..basis.basis_files import MAX_METABOLITES
from ..basis.basis_set import EDITED, SINGLE
from ..config import from_dict, read_json, to_dict
from ..errors import ConfigError, ModelError
from ..folders import whole_folder
from .calibration import FILE, Calibration, read_calibration
from .card import card_text, check_card
from .for_weights import write_for_weights
from .inputs import InputConfig
from .networks import network_classes
from .output import LineScale
from .prior import FILE as PRIOR
from .prior import Prior, read_prior
from .refine import Refiner
from .scanner import FILE as SCANNER
from .scanner import ScannerCorrection, fingerprint_of, read_scanner
from .thresholds import Thresholds, read_thresholds, write_thresholds

SHIPPED = Path(__file__).parent.parent / "models"
"""The folder of the models that come with the package."""

DEFAULT_MODEL = "hybrid"
"""The shipped model that is taken where none is named: the one with the smallest errors on simulated shifts."""

MAX_WEIGHTS = 2**28
"""Numbers in the largest network that is built (1 GiB)."""


@dataclass(frozen=True)
class ModelConfig:
    """Everything but the weights that a prediction needs.

    Attributes:
        network: name of the network (`networks.NETWORKS`).
        input: what it sees.
        metabolites: names of the concentrations, in the order of the output.
        conditions: names of the spectra, in the order of the input.
        nucleus: such as "1H".
        line: scale of the line parameters.
        basis_fingerprint: of the basis set that it was trained with.
        basis_linewidth_hz: Lorentzian width of that basis set's lines (Hz).
    """

    network: str
    input: InputConfig
    metabolites: tuple[str, ...]
    conditions: tuple[str, ...]
    nucleus: str
    line: LineScale
    basis_fingerprint: str
    basis_linewidth_hz: float

    def __post_init__(self):
        if self.conditions not in (EDITED, SINGLE):
            raise ConfigError(f"conditions must be {list(EDITED)} or {list(SINGLE)}, not {list(self.conditions)}.")
        if len(self.conditions) != self.input.conditions:
            raise ConfigError(f"{len(self.conditions)} conditions are named, the input has {self.input.conditions}.")
        names = self.metabolites
        if not 1 <= len(names) <= MAX_METABOLITES or len(set(names)) != len(names) or not all(map(str.strip, names)):
            raise ConfigError(
                f"metabolites must be 1 to {MAX_METABOLITES} different names, none of them empty, not "
                f"{str(list(names))[:80]}."
            )
        if not 0 <= self.basis_linewidth_hz < math.inf:
            raise ConfigError(f"basis_linewidth_hz must be 0 or more, not {self.basis_linewidth_hz}.")


@dataclass(frozen=True)
class TrainedModel:
    """A network ready to predict.

    Attributes:
        name: of the model, its folder's.
        config: ModelConfig.
        options: the network's own configuration.
        network: torch module in evaluation mode.
        card: dict of what it was trained on, with which outcome, and what it is for.
        weights_sha256: of the weights' file; None before it was saved.
        calibration: Calibration of its error bars; None for a model without.
        trust: Thresholds of its trust flag; None for a model without.
        shrunk: whether its estimates stay shrunk, although its calibration may have a correction.
        prior: Prior of its estimates' errors; None for a model whose estimates cannot be refined.
        refiner: how they are refined; None where they are not.
        scanner: ScannerCorrection of its estimates; None of a model that is for no scanner in particular.
    """

    name: str
    config: ModelConfig
    options: object
    network: torch.nn.Module = field(repr=False)
    card: dict = field(repr=False)
    weights_sha256: str | None = None
    calibration: Calibration | None = field(default=None, repr=False)
    trust: Thresholds | None = field(default=None, repr=False)
    shrunk: bool = False
    prior: Prior | None = field(default=None, repr=False)
    refiner: Refiner | None = field(default=None, repr=False)
    scanner: ScannerCorrection | None = field(default=None, repr=False)

    def refined(self, steps):
        """The model with estimates that are refined in a number of steps, 0 for those of the network alone.

        Raises:
            ConfigError: a number that is out of range.
            ModelError: its estimates cannot be refined.
        """
        if steps == 0:
            return replace(self, refiner=None)
        if not hasattr(self.network, "free_count"):
            raise ModelError(
                f"The estimates of {self.name} cannot be refined: its network is {self.config.network}, no hybrid one. "
                "Leave --refine out."
            )
        if self.prior is None:
            raise ModelError(
                f"The estimates of {self.name} cannot be refined: it has no prior.json, which fsl_mrs_dl calibrate "
                "makes. Run that, or leave --refine out."
            )
        return replace(self, refiner=Refiner(self.prior, steps))

    @property
    def steps(self):
        """Number of steps in which its estimates are refined, 0 for none."""
        return 0 if self.refiner is None else self.refiner.steps

    @property
    def correctable(self):
        """Whether its calibration has a correction for shrinkage."""
        return self.calibration is not None and self.calibration.correction is not None

    @property
    def corrected(self):
        """Whether its estimates are corrected for shrinkage: refined ones only where the correction is of such."""
        return self.correctable and self.calibration.steps == self.steps and not self.shrunk

    @property
    def adapted(self):
        """Whether its estimates are corrected for a scanner: only such as that correction was learnt from."""
        own = self.steps, self.corrected
        return self.scanner is not None and own == (self.scanner.steps, self.scanner.corrected)

    def judge(self, concentrations, spread, unexplained, own_spread):
        """Estimates as the model gives them, with the corrections that it makes, and their error bars.

        Args:
            concentrations: (scan, metabolite) of its network, refined where it is, relative to the largest.
            spread, own_spread: (scan, metabolite) as of `model.output.expected_spreads`.
            unexplained: (scan, condition) of `doubt.unexplained`; None of a model whose calibration has no doubt.

        Returns:
            (scan, metabolite) array, and Uncertainty, None of a model without a calibration.

        Raises:
            ConfigError: the calibration has a doubt, and what is unexplained is not given.
        """
        further = self.scanner if self.adapted else None
        if self.calibration is None:
            return concentrations if further is None else further(concentrations), None
        return self.calibration.judge(concentrations, spread, unexplained, own_spread, self.corrected, further)

    def with_shrinkage(self):
        """The model with estimates as the network makes them, not corrected for shrinkage.

        Raises:
            ModelError: they are not corrected anyway.
        """
        if not self.correctable:
            cause = "has no calibration" if self.calibration is None else "was calibrated on too few scans for that"
            raise ModelError(
                f"The estimates of {self.name} are not corrected for shrinkage: it {cause}. Leave --shrunk out."
            )
        return replace(self, shrunk=True)


def build_network(config, options):
    """An untrained network of a ModelConfig and the network's own configuration."""
    network_class, _ = network_classes(config.network)
    return network_class(options, config.input.channels, config.input.bins, len(config.metabolites))


def _check_size(config, options):
    """Refuse a network of more than `MAX_WEIGHTS` numbers, without making any of them."""
    with torch.device("meta"):
        number = sum(values.numel() for values in build_network(config, options).state_dict().values())
    if number > MAX_WEIGHTS:
        raise ConfigError(f"This network has {number} weights, at most {MAX_WEIGHTS} are allowed.")


def save_model(model, folder, overwrite=False, beside=()):
    """Write a model folder, whole or not at all.

    Args:
        model: TrainedModel.
        folder: to make.
        overwrite: whether an existing folder is replaced.
        beside: files and folders of the training to keep beside the model, such as its metrics.

    Raises:
        OutputError: the folder exists and overwrite is off, or it cannot be written.
    """
    with whole_folder(folder, overwrite) as partial:
        values = {"model": to_dict(model.config), "options": asdict(model.options)}
        (partial / "config.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.network.state_dict().items()}
        # Its own function for files makes them readable to their owner alone.
        (partial / "weights.safetensors").write_bytes(save(weights))
        digest = _digest(partial / "weights.safetensors")
        if model.calibration is not None:
            write_for_weights(partial / FILE, model.calibration, digest)
        # Thresholds are of weights: they are kept where these are the same as before.
        if model.trust is not None and model.trust.weights_sha256 == digest:
            write_thresholds(partial, model.trust)
        if model.prior is not None and model.prior.weights_sha256 in ("", digest):
            write_for_weights(partial / PRIOR, model.prior, digest)
        card = dict(model.card)
        if _holds(model.scanner, model, digest):
            write_for_weights(partial / SCANNER, model.scanner, digest)
        else:
            card.pop("corrected_for", None)
        (partial / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        (partial / "card.md").write_text(card_text(card), encoding="utf-8")
        for path in beside:
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, partial / path.name)


def _holds(scanner, model, weights_sha256):
    """Whether a ScannerCorrection is of these weights and of a model's calibration; False of None."""
    if scanner is None or scanner.weights_sha256 not in ("", weights_sha256):
        return False
    return scanner.calibration_sha256 == fingerprint_of(model.calibration)


def write_calibration(folder, calibration):
    """Write the Calibration of the weights in a model's folder there."""
    write_for_weights(folder / FILE, calibration, _digest(folder / "weights.safetensors"))


def keep_prior(folder, prior):
    """Write the Prior of the weights in a model's folder there."""
    write_for_weights(folder / PRIOR, prior, _digest(folder / "weights.safetensors"))


def _digest(path):
    """SHA-256 of a file, 64 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def shipped_models():
    """Names of the models that come with the package."""
    return tuple(sorted(path.parent.name for path in SHIPPED.glob("*/config.json")))


def model_folder(name_or_folder):
    """Path of the folder of a model, of the name of a shipped one or as it is given.

    Raises:
        ModelError: there is no such folder.
    """
    folder = Path(name_or_folder)
    # A folder of that name here does not hide a shipped model; ./NAME is the folder.
    if isinstance(name_or_folder, str) and name_or_folder in shipped_models():
        folder = SHIPPED / name_or_folder
    if not folder.is_dir():
        raise ModelError(
            f"There is no model {str(name_or_folder)!r}: give the folder of one, or one of "
            f"{', '.join(shipped_models())}."
        )
    return folder


def load_model(name_or_folder, calibrated=True, judged=True):
    """A trained model, by the name of a shipped one or by its folder.

    Args:
        name_or_folder: of the model.
        calibrated: whether its calibration, its prior and its scanner's correction are read too, where it has them.
        judged: whether the thresholds of its trust flag are.

    Raises:
        ModelError: there is no such model, or the folder's content is not a whole model.
    """
    folder = model_folder(name_or_folder)
    values = read_json(folder / "config.json", "a model's configuration", ModelError)
    if not isinstance(values, dict) or set(values) != {"model", "options"}:
        raise ModelError(f"{folder}/config.json: not a model of fsl_mrs_dl (it must hold 'model' and 'options').")
    try:
        config = from_dict(ModelConfig, values["model"], f"{folder}/config.json")
        options = from_dict(network_classes(config.network)[1], values["options"], f"{folder}/config.json")
        _check_size(config, options)
        network = build_network(config, options)
    except ConfigError as exc:
        raise ModelError(f"{exc} Train the model anew or take one of this version.") from exc
    except (RuntimeError, MemoryError) as exc:
        reason = (str(exc).splitlines() or [type(exc).__name__])[0]
        raise ModelError(f"{folder}/config.json: this network cannot be built here ({reason}).") from exc
    weights_file = folder / "weights.safetensors"
    _load_weights(network, weights_file)
    if hasattr(network, "check_taken"):
        try:
            network.check_taken(config)
        except ConfigError as exc:
            raise ModelError(f"{weights_file}: {exc} Copy the model folder anew.") from exc
    card = read_json(folder / "card.json", "a model card", ModelError)
    check_card(card, f"{folder}/card.json")
    digest = _digest(weights_file)
    parameters, made_for = getattr(network, "free_count", None), (config.metabolites, config.input.conditions, digest)
    calibration = read_calibration(folder, *made_for) if calibrated else None
    return TrainedModel(
        folder.resolve().name, config, options, network.eval(), card, digest,
        calibration=calibration,
        trust=read_thresholds(folder, digest) if judged else None,
        prior=read_prior(folder, parameters, digest) if calibrated else None,
        scanner=read_scanner(folder, config.metabolites, digest, calibration) if calibrated else None,
    )  # fmt: skip


def _load_weights(network, path):
    """Put the weights of a file into a network; ModelError where they do not fit it."""
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError) as exc:
        raise ModelError(f"{path}: missing or not a safetensors file; copy the model folder anew.") from exc
    except RuntimeError as exc:
        raise ModelError(f"{path}: these weights do not fit the model's configuration; copy the folder anew.") from exc
    if not all(torch.isfinite(tensor).all() for tensor in network.state_dict().values()):
        raise ModelError(f"{path}: the weights hold NaN or infinity; copy the model folder anew.")
