"""Quantify scans: the whole way from files or objects to results."""

from os import PathLike

from ..basis.basis_set import read_basis, shipped_basis
from ..model.checkpoint import load_model
from .predict import check_basis_fits, predict_prepared, prepare
from .result import make_result
from .scan import Scan, read_scan, scan_from_nifti
from .voigt import PPM_LIMITS


class Quantifier:
    """A model and its basis set, loaded once for any number of scans.

    Args:
        model: name of a shipped model, or the folder of one.
        basis: basis set, as `basis.basis_set.read_basis` takes it; the shipped one where None.
        internal_ref, combine, ppm_limits: as `result.make_result`.

    Raises:
        ModelError, BasisError: one of them is unusable, or they do not belong together.
    """

    def __init__(self, model="yae", basis=None, internal_ref=None, combine=(), ppm_limits=PPM_LIMITS):
        self.model = load_model(model)
        self.basis = read_basis(basis or shipped_basis())
        check_basis_fits(self.model, self.basis)
        self.options = {"internal_ref": internal_ref, "combine": combine, "ppm_limits": ppm_limits}

    def __call__(self, scan):
        """Result of one Scan."""
        prepared = prepare(self.model, scan, self.basis)
        prediction = predict_prepared(self.model, prepared)
        return make_result(scan.with_notes(*prepared.notes, *prediction.notes), self.basis, prediction, self.model, **self.options)


def quantify(scans, model="yae", basis=None, edit_order=None, **options):
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
