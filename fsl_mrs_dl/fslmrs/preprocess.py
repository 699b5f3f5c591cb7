"""Raw scans to spectra with FSL-MRS's own functions: the steps of fsl_mrs_preproc_edit, edit order put right first.

FSL-MRS subtracts the first edit condition from the second and does not look at EditCondition, so the
conditions are put in the order off, on before anything else is done. Its functions are used as they are;
steps, order and defaults are those of its commands, and the outlier removal is that of fsl_mrs_preproc.
"""

import contextlib
import io
from dataclasses import dataclass

import numpy as np

from ..basis.basis_set import EDITED, SINGLE
from ..errors import ConfigError, DataError
from ..fit import edit_order as order_of
from ..fit.nifti_input import load_file
from ..fit.scan import Scan, is_mirrored, read_scan

INSTALL = "conda install -c https://fsl.fmrib.ox.ac.uk/fsldownloads/fslconda/public/ -c conda-forge fsl_mrs"
"""Command that installs FSL-MRS."""

OUTLIER_PPM, OUTLIER_SD = (0.0, 4.2), 2.58  # as fsl_mrs_preproc
WATER_ALIGN_PPM = (0, 8)
HLSVD_PPM = [-0.25, 0.25]  # about the receiver's frequency
CREATINE_PPM, CREATINE_SEARCH_PPM, WATER_SEARCH_PPM = 3.027, (2.9, 3.1), (4.55, 4.7)
_ITERATIONS = 4


@dataclass(frozen=True)
class PreprocessOptions:
    """Options of fsl_mrs_preproc_edit, by its names.

    Attributes:
        align: whether transients are aligned.
        align_ppm_dynamic: range that transients are aligned in (ppm).
        align_window_dynamic: transients in a moving window for the alignment; None for one by one.
        align_ppm_edit: range that the edit conditions are aligned in (ppm); None for the whole spectrum.
        unlike: whether transients that differ from the others are left out (as fsl_mrs_preproc does).
        remove_water: whether residual water is removed (HLSVD).
        truncate_fid: points to remove at the start of FIDs; None for none.
        conjugate: whether all data are conjugated first.
    """

    align: bool = True
    align_ppm_dynamic: tuple = (1.9, 4.2)
    align_window_dynamic: int | None = None
    align_ppm_edit: tuple | None = None
    unlike: bool = True
    remove_water: bool = False
    truncate_fid: int | None = None
    conjugate: bool = False

    def __post_init__(self):
        for name in ("align_ppm_dynamic", "align_ppm_edit"):
            limits = getattr(self, name)
            if limits is not None and not (len(limits) == 2 and limits[0] < limits[1]):
                raise ConfigError(f"--{name} must be two numbers in ppm, the lower one first, not {tuple(limits)}.")
        for name in ("align_window_dynamic", "truncate_fid"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name.replace('truncate_', 'truncate-')} must be 1 or more, not {value}.")


_SPELT = {
    "align": "--noalign", "align_ppm_dynamic": "--align_ppm_dynamic", "align_window_dynamic": "--align_window_dynamic",
    "align_ppm_edit": "--align_ppm_edit", "unlike": "--noremoval", "remove_water": "--remove-water",
    "truncate_fid": "--truncate-fid", "conjugate": "--conjugate",
}  # fmt: skip


def unused_options(options, ecc=None, noise=None):
    """How options that differ from their defaults are written, for a scan that is not preprocessed.

    Args:
        options: PreprocessOptions.
        ecc, noise: as of `read_any_scan`.
    """
    default = PreprocessOptions()
    given = [word for name, word in _SPELT.items() if _plain(getattr(options, name)) != _plain(getattr(default, name))]
    return [*given, *(["--ecc"] if ecc else []), *(["--noise"] if noise else [])]


def _plain(value):
    """Lists as tuples, as the command line gives lists."""
    return tuple(value) if isinstance(value, list) else value


def is_raw(acquisition):
    """Whether an Acquisition holds coils to combine or transients to average."""
    tags = zip(acquisition.tags, acquisition.data.shape[1:])
    return any(tag in ("DIM_COIL", "DIM_DYN") and length > 1 for tag, length in tags)


def read_any_scan(path, edit_order=None, h2o=None, ecc=None, noise=None, options=None, progress=None):
    """Scan from a NIfTI-MRS file, preprocessed with FSL-MRS where coils or transients make that necessary.

    Without FSL-MRS, or if its preprocessing cannot be imported, transients are only averaged and a note says so;
    coils cannot be combined then.

    Args:
        path: of the file.
        edit_order: "on-off", "off-on" or None, as `fit.scan.read_scan`.
        h2o: path of the unsuppressed water scan, or None: coil weights and eddy currents come from it.
        ecc: path of another water scan to correct eddy currents with, or None.
        noise: path of a noise scan for the coils' covariance, or None.
        options: PreprocessOptions.
        progress: called with the name of each step before it is done.

    Returns:
        (Scan, Scan of the water as it was preprocessed with it; None where the scan was not raw or there is none)

    Raises:
        DataError: the file cannot be used, or a step of FSL-MRS fails.
    """
    acquisition = load_file(path)
    options = options or PreprocessOptions()
    if not is_raw(acquisition):
        unused = ", ".join(unused_options(options, ecc, noise))
        note = f"Warning: {unused} not used: the scan holds neither coils nor transients, and is fitted as it is."
        return read_scan(path, edit_order).with_notes(*([note] if unused else [])), None
    try:
        import fsl_mrs.utils.mrs_io as mrs_io
        import fsl_mrs.utils.preproc.nifti_mrs_proc  # noqa: F401  (what else a step needs fails here too)
    except ImportError as exc:
        if "DIM_COIL" in acquisition.tags:
            raise DataError(
                f"{acquisition.name}: receive coils are combined by FSL-MRS, which cannot be imported ({exc}); "
                f"install it ({INSTALL}) or combine them before."
            ) from exc
        note = f"Warning: FSL-MRS cannot be imported ({exc}), so transients were averaged only, not aligned."
        return read_scan(path, edit_order).with_notes(note), None
    sources = {"data": path, "h2o": h2o, "ecc": ecc, "noise": noise}
    sources = {key: source for key, source in sources.items() if source is not None}
    for key in sources.keys() - {"data"}:
        load_file(sources[key])
    loaded = {key: mrs_io.read_FID(str(source)) for key, source in sources.items()}
    return _Run(acquisition, loaded, options, progress or (lambda step: None), path).scans(edit_order)


class _Run:
    """The steps on one scan: FSL-MRS's objects `data`, `h2o` and `ecc` (None where not given), and notes."""

    def __init__(self, acquisition, loaded, options, progress, path):
        self.acquisition, self.options, self.progress, self.path = acquisition, options, progress, path
        self.name = acquisition.name
        self.data, self.h2o, self.ecc, self.noise = (loaded.get(key) for key in ("data", "h2o", "ecc", "noise"))
        self.notes = acquisition.notes

    def scans(self, edit_order):
        """The preprocessed (Scan, water Scan or None)."""
        steps = [
            ("order of the edit conditions", lambda: self._order(edit_order)),
            ("coil combination", self._combine_coils),
            ("alignment of transients", self._align),
            ("outlier removal and averaging", self._average),
            ("eddy-current correction", self._correct_eddies),
            ("removal of residual water", self._remove_water),
            ("truncation", self._truncate),
            ("creatine to 3.027 ppm, phase", self._reference),
            ("alignment of the edit conditions", self._align_edit),
        ]
        import fsl_mrs.utils.preproc as preproc
        import fsl_mrs.utils.preproc.nifti_mrs_proc as proc

        self.proc = proc
        failures = (
            ValueError, IndexError, np.linalg.LinAlgError, proc.DimensionsDoNotMatch, proc.OnlySVS,
            preproc.combine.CovarianceEstimationError,
        )  # fmt: skip
        for step, do in steps:
            self.progress(step)
            try:
                with contextlib.redirect_stdout(io.StringIO()):  # FSL-MRS prints hints
                    do()
            except DataError:
                raise
            except failures as exc:
                raise DataError(f"{self.name}: FSL-MRS's preprocessing failed at the {step} ({exc}).") from exc
        return self._scan(self.data, EDITED if self.edited else SINGLE), self._water_scan()

    def _say(self, note):
        self.notes += (f"FSL-MRS preprocessing: {note}.",)

    def _order(self, edit_order):
        """Turn mirrored data round and put edit-off first, in the data and in waters of that shape."""
        acquisition, tags = self.acquisition, self.acquisition.tags
        unknown = [tag for tag, n in zip(tags, acquisition.data.shape[1:]) if n > 1 and tag not in _KNOWN]
        if unknown:
            raise DataError(f"{self.name}: a raw scan has the dimensions {', '.join(_KNOWN)}, not {unknown[0]}.")
        fids, dimension = _rough(acquisition)
        if len(fids) > 2:
            raise DataError(f"{self.name}: two edit conditions are fitted, DIM_EDIT has {len(fids)}.")
        mirrored = is_mirrored(fids, acquisition.dwell_s, acquisition.centre_hz)
        if mirrored or self.options.conjugate:
            fids = np.conj(fids)
            for key in ("data", "h2o", "ecc", "noise"):
                if getattr(self, key) is not None:
                    setattr(self, key, self.proc.conjugate(getattr(self, key)))
            asked = self.options.conjugate
            self._say("conjugated, as asked for" if asked else "turned round, as it was stored mirrored")
        self.edited = len(fids) == 2
        if self.edited:
            order, decision = order_of.decide(
                fids, acquisition.dwell_s, acquisition.centre_hz, acquisition.header, dimension, edit_order, self.name
            )
            self.notes += decision
            if order == "on-off":
                self.data, self.h2o, self.ecc = map(_swapped, (self.data, self.h2o, self.ecc))
                self._say("edit conditions exchanged, so that FSL-MRS subtracts edit-off from edit-on")

    def _combine_coils(self):
        if "DIM_COIL" not in self.data.dim_tags:
            return
        reference = self.h2o
        if reference is not None:
            if "DIM_COIL" not in reference.dim_tags:
                raise DataError(
                    f"{self.name}: its coils are not combined, those of the --h2o scan are; give the raw one."
                )
            for tag in ("DIM_DYN", "DIM_EDIT"):
                reference = self._mean(reference, tag)
        how = {"reference": reference, **self._coil_noise()}
        self.data = self.proc.coilcombine(self.data, **how)
        self.h2o, self.ecc = (
            self.proc.coilcombine(water, **how) if water is not None and "DIM_COIL" in water.dim_tags else water
            for water in (self.h2o, self.ecc)
        )
        coils = self.acquisition.data.shape[1 + self.acquisition.tags.index("DIM_COIL")]
        by = "the --h2o scan" if reference is not None else "the scan itself"
        plain = ", without prewhitening" if how.get("no_prewhiten") else ""
        self._say(f"{coils} coils combined with weights from {by}{plain}")

    def _coil_noise(self):
        """Arguments of coilcombine that tell the noise of the coils."""
        from fsl_mrs.utils.preproc.combine import CovarianceEstimationError, estimate_noise_cov

        if self.noise is not None:
            coils_last = np.moveaxis(self.noise[:], self.noise.dim_position("DIM_COIL"), -1)
            return {"noise": coils_last.reshape(-1, coils_last.shape[-1]).T}
        every = self.data.iterate_over_dims(dim="DIM_COIL", iterate_over_space=True, reduce_dim_index=True)
        try:
            return {"covariance": estimate_noise_cov(np.array([fids for fids, _ in every]))}
        except CovarianceEstimationError:
            return {"no_prewhiten": True}

    def _align(self):
        options = self.options
        if not options.align:
            return
        if _length(self.data, "DIM_DYN") > 1:
            self.data = self.proc.align(
                self.data, "DIM_DYN", ppmlim=options.align_ppm_dynamic, niter=_ITERATIONS,
                window=options.align_window_dynamic,
            )  # fmt: skip
            low, high = options.align_ppm_dynamic
            self._say(f"{_length(self.data, 'DIM_DYN')} transients aligned over {low:g} to {high:g} ppm")
        self.h2o, self.ecc = (
            self.proc.align(water, "DIM_DYN", ppmlim=WATER_ALIGN_PPM) if _length(water, "DIM_DYN") > 1 else water
            for water in (self.h2o, self.ecc)
        )

    def _average(self):
        """Average each edit condition over the transients that are like the others."""
        number = _length(self.data, "DIM_DYN")
        if number > 1:
            averaged = self._mean(self.data, "DIM_DYN")
            if self.options.unlike:
                kept = [self._without_outliers(one) for one in _conditions(self.data)]
                means = np.stack([self._mean(one, "DIM_DYN")[:] for one in kept], -1)
                averaged[:] = means.reshape(averaged.shape)
                removed = " and ".join(str(number - _length(one, "DIM_DYN")) for one in kept)
                self._say(f"{removed} of {number} transients removed as outliers" + (" (off and on)" * self.edited))
            self.data = averaged
            self._say("transients averaged")
        self.h2o, self.ecc = (self._mean(water, "DIM_DYN") for water in (self.h2o, self.ecc))

    def _without_outliers(self, one):
        return self.proc.remove_unlike(one, ppmlim=OUTLIER_PPM, sdlimit=OUTLIER_SD, niter=1)[0]

    def _mean(self, data, tag):
        """Average over a dimension where there is more than one entry; None stays None."""
        return self.proc.average(data, tag) if _length(data, tag) > 1 else data

    def _correct_eddies(self):
        reference = self.h2o if self.ecc is None else self.ecc
        if reference is None:
            return
        self.data = self.proc.ecc(self.data, reference)
        self.h2o = None if self.h2o is None else self.proc.ecc(self.h2o, reference)
        self._say(f"eddy currents corrected with the {'--h2o' if self.ecc is None else '--ecc'} scan")

    def _remove_water(self):
        if self.options.remove_water:
            self.data = self.proc.remove_peaks(self.data, HLSVD_PPM, limit_units="ppm")
            self._say("residual water removed (HLSVD)")

    def _truncate(self):
        points = self.options.truncate_fid
        if points:
            self.data, self.h2o = (
                None if one is None else self.proc.truncate_or_pad(one, -points, "first")
                for one in (self.data, self.h2o)
            )
            self._say(f"{points} points removed at the start")

    def _reference(self):
        self.data = self.proc.shift_to_reference(self.data, CREATINE_PPM, CREATINE_SEARCH_PPM)
        self.data = self.proc.phase_correct(self.data, CREATINE_SEARCH_PPM)
        self._say(f"creatine put to {CREATINE_PPM} ppm and phased")

    def _align_edit(self):
        if self.edited:
            self.data = self.proc.align(self.data, "DIM_EDIT", ppmlim=self.options.align_ppm_edit, niter=_ITERATIONS)
            self._say("edit conditions aligned to each other")
        if _length(self.h2o, "DIM_EDIT") > 1:
            self.h2o = self._mean(self.proc.align(self.h2o, "DIM_EDIT", ppmlim=WATER_ALIGN_PPM, niter=1), "DIM_EDIT")

    def _scan(self, data, conditions):
        acquisition = self.acquisition
        fids = np.moveaxis(data[:].reshape(data.shape[3], -1), -1, 0)
        return Scan(
            fids, conditions, acquisition.dwell_s, acquisition.centre_hz, acquisition.nucleus,
            acquisition.echo_time_s, self.name, (self.path,), acquisition.affine, self.notes,
        )  # fmt: skip

    def _water_scan(self):
        if self.h2o is None:
            return None
        return self._scan(self.proc.phase_correct(self.h2o, WATER_SEARCH_PPM, hlsvd=False), SINGLE)


_KNOWN = ("DIM_COIL", "DIM_DYN", "DIM_EDIT")


def _length(data, tag):
    """Entries of a NIFTI_MRS object's dimension; 0 where it is not there."""
    if data is None or tag not in data.dim_tags:
        return 0
    position = data.dim_position(tag)
    return data.shape[position] if position < len(data.shape) else 1


def _swapped(data):
    """The same with the two edit conditions exchanged, None and data without them as they are."""
    if _length(data, "DIM_EDIT") != 2:
        return data
    swapped = data.copy()
    swapped[:] = np.flip(data[:], data.dim_position("DIM_EDIT"))
    return swapped


def _conditions(data):
    """One NIFTI_MRS object an edit condition; the data themselves where there is one."""
    if _length(data, "DIM_EDIT") < 2:
        return [data]
    position, parts = data.dim_position("DIM_EDIT"), []
    for index in range(data.shape[position]):
        part = data.copy(remove_dim="DIM_EDIT")
        part[:] = np.take(data[:], index, position)
        parts.append(part)
    return parts


def _rough(acquisition):
    """(condition, point) FIDs of an Acquisition, combined so far as to tell edit-on; DIM_EDIT's number or None."""
    data, tags = acquisition.data, acquisition.tags
    place = {tag: number for number, tag in zip((5, 6, 7), tags) if tag in _KNOWN}
    sources = [place.get(tag, -1) - 4 for tag in ("DIM_EDIT", "DIM_COIL", "DIM_DYN")]
    rest = [axis for axis in (1, 2, 3) if axis not in sources]
    sources = [axis if axis > 0 else rest.pop() for axis in sources]
    fids = np.transpose(data, (*sources, 0)).mean(2)
    coils = np.swapaxes(fids, 0, 1).reshape(fids.shape[1], -1)
    weights = np.linalg.eigh(coils @ coils.conj().T)[1][:, -1]
    return np.einsum("c,ecp->ep", weights.conj(), fids), place.get("DIM_EDIT")
