"""LCModel, through the lcmodel-wrapper package, as a method of the study."""

import contextlib
import hashlib
import io
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from ..axes import conjugate_for_disk
from ..errors import ConfigError
from .conventional import PPM_RANGE, conventional_method

SETTINGS = {"nsimul": 0, "nratio": 0, "vitro": True, "lps": 0}
"""Control parameters (LCModel User's Manual, section 11) besides those of the scan: no simulated lipids and
macromolecules, no soft constraints of concentration ratios, a baseline as stiff as for solutions, no picture."""

WITHOUT_CHOLINE = {"nrefpk(2)": 2}
"""The scan is referred to NAA and creatine alone, where the basis set has no choline to be found at 3.22 ppm."""

DIFFERENCE = {"nuse1": 2, "chuse1(1)": "NAA", "chuse1(2)": "Glu", "nrefpk(2)": 1}
"""A difference is referred to NAA, and its phase and width are first estimated with NAA and Glu, as in LCModel's own
set mega-press-3; that has no baseline besides, and wide limits of the shift."""

CHOLINES = {"Cho", "GPC", "PCh"}


def lcmodel_method(basis):
    """Method of LCModel; the executable is that of LCMODEL_EXEC, or what the wrapper finds.

    Args:
        basis: BasisSet.

    Raises:
        ConfigError: the wrapper is not installed, or there is no executable.
    """
    try:
        from lcmodel_wrapper import binaries
    except ImportError as exc:
        raise ConfigError("lcmodel-wrapper is not installed: pip install 'fsl_mrs_dl[lcmodel]'.") from exc
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            executable = Path(binaries.resolve_executable())
    except (OSError, RuntimeError) as exc:
        reason = str(exc).splitlines()[0]
        raise ConfigError(f"There is no LCModel executable ({reason}); name one in LCMODEL_EXEC.") from exc
    digest = hashlib.sha256(executable.read_bytes()).hexdigest()
    wrapper = metadata.version("lcmodel-wrapper")
    version = f"lcmodel-wrapper {wrapper}, executable {digest}, {PPM_RANGE}, {settings_of(basis, 'off')}"
    version += f", {settings_of(basis, 'diff')}"
    return conventional_method("lcmodel", LcmodelFit(str(executable)), basis, version)


def settings_of(basis, spectrum):
    """Control parameters for a spectrum of `methods.SPECTRA`, as a dict."""
    own = DIFFERENCE if spectrum == "diff" else {} if CHOLINES & set(basis.names) else WITHOUT_CHOLINE
    width_ppm = basis.linewidth_hz / basis.centre_hz * 1e6
    return {**SETTINGS, **own, **({"fwhmba": round(width_ppm, 6)} if width_ppm else {})}


@dataclass(frozen=True)
class LcmodelFit:
    """LCModel's fit of one spectrum.

    Attributes:
        executable: path of LCModel.
    """

    executable: str

    def __call__(self, scan, basis, spectrum):
        """{metabolite: concentration} of a Scan of one spectrum and a BasisSet of one condition on its grid.

        Raises:
            RuntimeError: LCModel ends without a result.
            ValueError: its table cannot be read.
        """
        from lcmodel_wrapper import PyLCModel, convert

        with tempfile.TemporaryDirectory(prefix="fsl_mrs_dl_") as place, contextlib.redirect_stdout(io.StringIO()):
            file = str(Path(place) / "set.basis")
            fids = conjugate_for_disk(basis.fids[0])
            convert.write_basis(file, basis.names, fids, basis.dwell_s, basis.centre_hz * 1e-6)
            fit = PyLCModel(
                file,
                ppmlim=PPM_RANGE,
                ignore="none",
                save_path=place,
                path2exec=self.executable,
                params=settings_of(basis, spectrum),
            )
            # The fit has no use for the scale of the data, but its files have few digits.
            scale = np.abs(scan.fids).max()
            names, values, *_ = fit.report(scan.fids / scale)[0]
        found = dict(zip(names, values, strict=True))
        return {name: scale * found.get(name, np.nan) for name in basis.names}
