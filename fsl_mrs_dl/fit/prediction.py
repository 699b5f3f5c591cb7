"""What a network says about one scan: relative concentrations, lineshape, shift and phase."""

from dataclasses import dataclass

import numpy as np

from ..errors import DataError

_UNITY_TOLERANCE = 1e-4  # float32 networks round


@dataclass(frozen=True, eq=False)
class Prediction:
    """A network's estimate for one scan, against the scan as it was read (alignment included).

    Attributes:
        names: metabolites.
        concentrations: (metabolite,) float, not negative, relative to the largest (which is 1).
        lorentz_hz: Lorentzian FWHM that the scan has beyond the basis (Hz), not negative.
        gauss_hz: Gaussian FWHM that the scan has beyond the basis (Hz), not negative.
        shift_hz: how far the scan stands above the basis (Hz, positive to higher ppm).
        phase_rad: zero-order phase of the scan (rad): scan = model * exp(1j * phase_rad).
        notes: what there is to say about the estimate.
        uncertainty: model.calibration.Uncertainty of the concentrations; None of a model without a calibration.
    """

    names: tuple
    concentrations: np.ndarray
    lorentz_hz: float
    gauss_hz: float
    shift_hz: float
    phase_rad: float
    notes: tuple = ()
    uncertainty: object | None = None

    def __post_init__(self):
        object.__setattr__(self, "names", tuple(self.names))
        values = np.array(self.concentrations, dtype=float)
        values.setflags(write=False)
        object.__setattr__(self, "concentrations", values)
        for field in ("lorentz_hz", "gauss_hz", "shift_hz", "phase_rad"):
            object.__setattr__(self, field, float(getattr(self, field)))
        self._check()

    @property
    def sd(self):
        """(metabolite,) standard deviations of the concentrations, noise and model error together; None if unknown."""
        return None if self.uncertainty is None else self.uncertainty.sd

    @property
    def interval68(self):
        """(metabolite, 2) ends of the 68 % intervals; None if unknown."""
        return None if self.uncertainty is None else self.uncertainty.interval68

    @property
    def interval95(self):
        """(metabolite, 2) ends of the 95 % intervals; None if unknown."""
        return None if self.uncertainty is None else self.uncertainty.interval95

    def _check(self):
        """Raises DataError where a field cannot be an estimate."""
        values = self.concentrations
        if not self.names or len(set(self.names)) != len(self.names):
            raise DataError(f"A prediction needs each metabolite name once, not {self.names}: pass the basis names.")
        if values.shape != (len(self.names),):
            raise DataError(
                f"A prediction needs one concentration for each of {len(self.names)} metabolites, "
                f"not an array of shape {values.shape}: predict one scan at a time."
            )
        if not np.isfinite(values).all() or (values < 0).any():
            raise DataError(f"Concentrations must be finite and not negative, not {values}: check the scan.")
        if abs(values.max() - 1) > _UNITY_TOLERANCE:
            raise DataError(
                f"Concentrations are relative to the largest, which is {values.max():g} here instead of 1: "
                "divide them by their maximum."
            )
        for field in ("lorentz_hz", "gauss_hz", "shift_hz", "phase_rad"):
            value = getattr(self, field)
            if not np.isfinite(value):
                raise DataError(f"{field} must be a finite number, not {value}: check the scan.")
        for field in ("lorentz_hz", "gauss_hz"):
            if getattr(self, field) < 0:
                raise DataError(f"{field} must not be negative, but is {getattr(self, field):g}: clip it at 0.")
