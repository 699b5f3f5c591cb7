"""Quantify scans: the whole way from files or objects to results."""

from os import PathLike

from ..basis.basis_set import SUBFOLDERS, read_basis, shipped_basis
from ..model.checkpoint import DEFAULT_MODEL, TrainedModel, load_model
from .predict import check_basis_fits, look, predict_prepared, prepare
from .result import make_result
from .scan import Scan, read_scan, scan_from_nifti
from .trust import Judge
from .voigt import PPM_LIMITS


class Quantifier:
    """A model and its basis set, loaded once for any number of scans.

    Args:
        model: name of a shipped model, the folder of one, or a TrainedModel.
        basis: basis set, as `basis.basis_set.read_basis` takes it; the shipped one where None.
        internal_ref, combine, ppm_limits: as `result.make_result`.

    Raises:
        ModelError, BasisError: one of them is unusable, or they do not belong together.
    """

    def __init__(self, model=DEFAULT_MODEL, basis=None, internal_ref=None, combine=(), ppm_limits=PPM_LIMITS):
        self.model = model if isinstance(model, TrainedModel) else load_model(model)
        self.basis = basis_for(self.model, basis)
        check_basis_fits(self.model, self.basis)
        self._judges = {}
        self.options = {"internal_ref": internal_ref, "combine": combine, "ppm_limits": ppm_limits}

    def _judge(self, scan):
        """Judge of scans of the bandwidth of one, kept for those that follow."""
        if scan.dwell_s not in self._judges:
            self._judges[scan.dwell_s] = Judge(self.model, self.basis, 1 / scan.dwell_s)
        return self._judges[scan.dwell_s]

    def __call__(self, scan):
        """Result of one Scan."""
        scan, prediction, trust = self._estimated(scan)
        return make_result(scan, self.basis, prediction, self.model, trust=trust, **self.options)

    def estimate(self, scan):
        """Prediction and Trust of one Scan, without a fit of its spectra."""
        return self._estimated(scan)[1:]

    def _estimated(self, scan):
        """The Scan as the model takes it, with notes, its Prediction and its Trust."""
        scan = scan_for(self.basis, scan)
        prepared = prepare(self.model, scan, self.basis)
        seen = look(self.model, prepared.fids[None])
        prediction = predict_prepared(self.model, prepared, seen)
        (trust,) = self._judge(scan)(seen)
        return scan.with_notes(*prepared.notes, *prediction.notes), prediction, trust


def basis_for(model, path=None):
    """The basis set of a model.

    Args:
        model: TrainedModel.
        path: as `basis.basis_set.read_basis` takes it; where None, the shipped set, or for a model of one spectrum
            the part of it (off, on, diff) that the model was trained with.

    Returns:
        BasisSet; whether it is the model's is for `predict.check_basis_fits` to say.
    """
    if path is None and len(model.config.conditions) == 1:
        for part in (shipped_basis() / name for name in SUBFOLDERS.values()):
            basis = read_basis(part)
            if basis.fingerprint() == model.config.basis_fingerprint:
                return basis
    return read_basis(path or shipped_basis())


def scan_for(basis, scan):
    """The scan, or of an edited one the spectrum that a basis set of one spectrum (a folder off, on or diff) is for."""
    folder = basis.folders[0]
    spectra = {name: spectrum for spectrum, name in SUBFOLDERS.items()}
    if scan.edited and len(basis.conditions) == 1 and folder is not None and folder.name in spectra:
        return scan.single(spectra[folder.name])
    return scan


def quantify(scans, model=DEFAULT_MODEL, basis=None, edit_order=None, **options):
    """Quantify one scan or several.

    Args:
        scans: path of a NIfTI-MRS file, NIFTI_MRS or nibabel object, Scan, or a list of these.
        model: name of a shipped model, or the folder of one.
        basis: basis set of the model; the shipped one where None.
        edit_order: "on-off" or "off-on" to force the order of the edit dimension.
        **options: internal_ref, combine, ppm_limits, as `result.make_result`.

    Returns:
        Result of one scan, or a list of Results for a list.

    Raises:
        FslMrsDlError: what is wrong with a scan, the model or the basis set, in one line.
    """
    quantifier = Quantifier(model, basis, **options)
    many = isinstance(scans, (list, tuple))
    results = [quantifier(_scan(scan, edit_order)) for scan in (scans if many else [scans])]
    return results if many else results[0]


def _scan(scan, edit_order):
    """A path, an image object or a Scan as a Scan."""
    if isinstance(scan, Scan):
        return scan
    return read_scan(scan, edit_order) if isinstance(scan, (str, PathLike)) else scan_from_nifti(scan, edit_order)
