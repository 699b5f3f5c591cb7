"""FSL-MRS's MRS object as the Scan and the BasisSet that a model takes."""

import numpy as np

from ..basis.basis_set import SINGLE, BasisSet
from ..errors import BasisError
from ..fit.scan import Scan


def scan_of(mrs):
    """Scan of the FID of an MRS object, turned upright where FSL-MRS decided so."""
    return Scan(mrs.FID[None], SINGLE, mrs.dwellTime, mrs.centralFrequency, mrs.nucleus, name="the spectrum")


def basis_of(mrs):
    """BasisSet of an MRS object as it was read, less what keep and ignore leave out.

    The property `basis` of an MRS object is resampled to the FID and scaled; a model is known by the spectra
    before that. They have no public way out of the object.

    Raises:
        BasisError: there is no basis.
    """
    basis = mrs._basis
    if basis is None:
        raise BasisError("The algorithm dl needs a basis set: give the MRS object the one of the spectrum's sequence.")
    names = [str(name) for name in mrs.names]
    columns = [list(basis.names).index(name) for name in mrs.names]
    fids = basis.original_basis_array[:, columns].T
    widths = [width for width in basis.basis_fwhm if width]
    return BasisSet(
        fids=(fids.conj() if mrs.conj_Basis else fids)[None],
        conditions=SINGLE,
        names=names,
        dwell_s=basis.original_dwell,
        centre_hz=basis.cf * 1e6,
        linewidth_hz=float(widths[0]) if widths else 0.0,
        nucleus=basis.nucleus,
    )


def ignored_names(mrs):
    """Metabolites of the basis that keep and ignore leave out, sorted."""
    return sorted(set(map(str, mrs._basis.names)) - set(map(str, mrs.names)))


def basis_factors(mrs, scaled):
    """(metabolite,) factors by which FSL-MRS scaled each metabolite of the basis for the fit.

    Args:
        mrs: MRS object.
        scaled: its property `basis`, (point, metabolite).
    """
    plain = mrs._basis.get_formatted_basis(mrs.bandwidth, mrs.numPoints, ignore=mrs._keep_ignore)
    return np.linalg.norm(scaled, axis=0) / np.linalg.norm(plain, axis=0)
