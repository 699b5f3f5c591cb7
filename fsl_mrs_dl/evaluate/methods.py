"""Methods of the study: plain callables from a scan to concentrations, all with one face."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from .._version import __version__
from ..basis.basis_set import SUBFOLDERS
from ..errors import ConfigError
from ..fit.predict import check_basis_fits, predict
from ..fit.quantify import basis_for, scan_for
from ..model.checkpoint import load_model

SPECTRA = ("both", "off", "on", "diff", "single")
"""What a method fits: edit-off and edit-on together, one spectrum of an edited scan, or the only one of a scan."""

FAILURES = (ValueError, ArithmeticError, RuntimeError, OSError)
"""What a fit that fails on a scan may raise; anything else is a fault of the program and ends the study."""


@dataclass(frozen=True, eq=False)
class Method:
    """A way to quantify scans.

    Attributes:
        name: for tables; different for each method of a study.
        spectra: what it fits, of `SPECTRA`; each gets rows of its own.
        metabolites: what it estimates, in every one of its spectra.
        fit: Scan -> {spectrum: {metabolite: concentration}}, in a unit of its own that is the same for all
            metabolites. Where it fails it raises one of `FAILURES`, or, where only one spectrum fails, has the
            exception in place of its dict. To run in several processes it must be picklable.
        version: text that changes whenever the estimates may: settings, weights, versions.
    """

    name: str
    spectra: tuple[str, ...]
    metabolites: tuple[str, ...]
    fit: Callable
    version: str

    def __post_init__(self):
        object.__setattr__(self, "spectra", tuple(self.spectra))
        object.__setattr__(self, "metabolites", tuple(self.metabolites))
        wrong = [one for one in self.spectra if one not in SPECTRA]
        if wrong or not self.spectra or not self.metabolites:
            raise ConfigError(
                f"The method {self.name} needs metabolites and spectra of {', '.join(SPECTRA)}, not {self.spectra} of "
                f"{self.metabolites}."
            )


@dataclass(frozen=True, eq=False)
class ModelFit:
    """Concentrations of a scan by a trained model, relative to the largest.

    Attributes:
        model: TrainedModel.
        basis: its BasisSet.
        spectrum: of `SPECTRA`, what the model takes.
        metabolites: those that its spectra show.
    """

    model: object
    basis: object
    spectrum: str
    metabolites: tuple[str, ...]

    def __call__(self, scan):
        """{spectrum: {metabolite: concentration}} of a Scan."""
        found = predict(self.model, scan_for(self.basis, scan), self.basis)
        values = dict(zip(found.names, found.concentrations.tolist(), strict=True))
        return {self.spectrum: {name: values[name] for name in self.metabolites}}


def model_method(name_or_folder, basis=None):
    """Method of a trained model.

    Args:
        name_or_folder: as `load_model` takes it.
        basis: as `basis_for` takes it.

    Raises:
        ModelError, BasisError: one of them is unusable, or they do not belong together.
    """
    model = load_model(name_or_folder)
    basis = basis_for(model, basis)
    check_basis_fits(model, basis)
    spectrum, names = spectrum_of(basis), basis.shown
    # What estimates depend on beside the weights.
    further = sha256(repr((model.config, model.options, model.calibration, model.scanner)).encode()).hexdigest()
    version = f"fsl_mrs_dl {__version__}, weights {model.weights_sha256}, further {further}"
    return Method(model.name, (spectrum,), names, ModelFit(model, basis, spectrum, names), version)


def spectrum_of(basis):
    """What a model of a basis set takes, of `SPECTRA`; one condition is known by its folder off, on or diff."""
    if len(basis.conditions) == 2:
        return "both"
    folder = basis.folders[0]
    return folder.name if folder is not None and folder.name in SUBFOLDERS.values() else "single"


def check_names(methods):
    """Refuse two methods of one name.

    Raises:
        ConfigError: a name is there twice.
    """
    names = [method.name for method in methods]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"Methods need different names, there are two {twice[0]}; give the model's folder another.")
