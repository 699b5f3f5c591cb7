"""FSL-MRS's Newton fit as a plain callable."""

from dataclasses import dataclass

BASELINE = "poly, 2"
MODEL = "voigt"
"""FSL-MRS's own defaults: a complex polynomial of order 2, one Voigt line shape and shift for all metabolites."""


def newton_version(ppm_range):
    """Text that changes whenever the estimates may.

    Raises:
        ImportError: FSL-MRS cannot be imported.
    """
    import fsl_mrs

    return f"FSL-MRS {fsl_mrs.__version__} Newton, {MODEL}, baseline {BASELINE}, {ppm_range}"


@dataclass(frozen=True)
class NewtonFit:
    """FSL-MRS's Newton fit of one spectrum.

    Attributes:
        ppm_range: what is fitted (ppm).
    """

    ppm_range: tuple[float, float]

    def __call__(self, scan, basis, spectrum):
        """{metabolite: concentration} of a Scan of one spectrum and a BasisSet of one condition on its grid.

        Concentrations are on the scale of the basis set. `spectrum` makes no difference to the fit.
        """
        return self.with_bounds(scan, basis)[0]

    def with_bounds(self, scan, basis):
        """Concentrations as above, and {metabolite: their Cramer-Rao bound}: a standard deviation in the same unit."""
        from fsl_mrs.core import MRS
        from fsl_mrs.core.basis import Basis
        from fsl_mrs.utils.fitting import fit_FSLModel

        host_basis = Basis(basis.fids[0].T.copy(), list(basis.names), [_header(basis)] * len(basis.names))
        mrs = MRS(scan.fids[0], cf=scan.centre_hz, bw=1 / scan.dwell_s, nucleus=scan.nucleus, basis=host_basis)
        mrs.processForFitting(ind_scaling=[])
        result = fit_FSLModel(mrs, method="Newton", ppmlim=self.ppm_range, baseline=BASELINE, model=MODEL)
        # The fit sees data and basis spectra each times a factor of its own.
        factor = mrs.basis_scaling / mrs.fid_scaling
        names = list(mrs.names)  # those of the result may have sums behind them
        values = result.getConc(scaling="raw", metab=names).to_numpy() * factor
        bounds = result.getUncertainties(type="raw", metab=names) * factor
        return tuple(dict(zip(names, numbers.tolist(), strict=True)) for numbers in (values, bounds))


def _header(basis):
    """FSL-MRS's header of a basis set."""
    return {
        "dwelltime": basis.dwell_s, "bandwidth": 1 / basis.dwell_s, "centralFrequency": basis.centre_hz,
        "fwhm": basis.linewidth_hz, "nucleus": basis.nucleus,
    }  # fmt: skip
