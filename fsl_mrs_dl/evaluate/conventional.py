"""Conventional fits as methods of the study: one spectrum after the other, with the basis set on the scan's grid."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from .._version import __version__
from ..basis.basis_set import SINGLE, SUBFOLDERS, BasisSet, shown_names
from ..errors import DataError
from ..fit.quantify import scan_for
from ..fit.scan import check_field, require_edited
from .methods import FAILURES, Method, spectrum_of

PPM_RANGE = (1.8, 4.2)
"""What the conventional tools fit (ppm): all lines of the five metabolites and no unsuppressed water."""


def conventional_method(name, fit, basis, version):
    """Method of a conventional fit.

    Args:
        name: of the method.
        fit: (Scan of one spectrum, BasisSet of one condition on its grid, spectrum of `SPECTRA`) ->
            {metabolite: concentration}.
        basis: BasisSet; of an edited one edit-off and the difference are fitted.
        version: of the fit and its settings; the basis set's is added.
    """
    spectra = ("off", "diff") if len(basis.conditions) == 2 else (spectrum_of(basis),)
    version = f"{version}, fsl_mrs_dl {__version__}, basis {basis.fingerprint()}"
    return Method(name, spectra, basis.names, SpectraFit(fit, basis), version)


@dataclass(frozen=True, eq=False)
class SpectraFit:
    """A conventional fit of the spectra of a scan.

    What a difference does not show, creatine above all, is left out of its fit and taken from edit-off; both are on
    the scale of the basis set.

    Attributes:
        fit, basis: as of `conventional_method`.
    """

    fit: Callable
    basis: BasisSet

    def __call__(self, scan):
        """{spectrum: {metabolite: concentration}, or the exception that its fit raised} of a Scan."""
        basis = resample_basis(self.basis, scan)
        if len(basis.conditions) == 1:
            spectrum = spectrum_of(basis)
            return {spectrum: self.fit(scan_for(basis, scan), basis, spectrum)}
        scan = require_edited(scan)
        off = self._one(scan, basis, "edit_off", {})
        return {"off": off, "diff": self._one(scan, basis, "difference", off)}

    def _one(self, scan, basis, spectrum, others):
        """Concentrations by one spectrum and, for what it does not show, those of another; or the exception."""
        shown = basis.keep(shown_names(basis.names, basis.spectrum(spectrum)[None]))
        single = replace(shown, fids=shown.spectrum(spectrum)[None], conditions=SINGLE, folders=())
        hidden = [name for name in basis.names if name not in single.names]
        if hidden and isinstance(others, Exception):
            return DataError(f"{', '.join(hidden)} would be from edit-off, whose fit failed: {others}")
        try:
            found = self.fit(scan.single(spectrum), single, SUBFOLDERS[spectrum])
        except FAILURES as exc:
            return exc
        if not any(value > 0 for value in found.values()):
            return DataError("no estimate is above 0")
        return {name: others[name] for name in hidden} | found


def resample_basis(basis, scan):
    """BasisSet on the time grid and at the spectrometer frequency of a Scan, every line at its ppm.

    Raises:
        DataError: the field strengths differ by more than a percent.
        BasisError: the basis ends before the scan, and has not decayed by then.
    """
    check_field(scan, basis.centre_hz)
    resampled = basis.resample(scan.dwell_s * scan.centre_hz / basis.centre_hz, scan.points)
    return replace(resampled, dwell_s=scan.dwell_s, centre_hz=scan.centre_hz)
