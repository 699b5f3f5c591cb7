"""Training scans kept in one HDF5 file: written batch by batch, read as a stream.

Everything in the file gets its place on the disk when the file is made. Writing a batch then changes
nothing but that batch and, last, the count of finished batches, so that a file whose writer was killed is
whole as far as it is counted.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
from pathlib import Path

import h5py
import numpy as np
import torch

from .._version import __version__
from ..config import from_dict, to_dict
from ..errors import ConfigError, DataError, OutputError
from .dataset import GRID_DWELL_S, GRID_POINTS, Batch
from .draws import Draw
from .priors import Recipe

FORMAT = "fsl_mrs_dl scans 1"

MOST_SCANS_PER_CHUNK = 32

NO_CACHE = {"rdcc_nbytes": 0}
"""Chunks are read and written once: HDF5's cache of them would only delay the writing."""


def pool_fingerprint(pool):
    """SHA-256 (hexadecimal) of a pool's metabolites, conditions and FIDs; "" for None."""
    if pool is None:
        return ""
    digest = hashlib.sha256(json.dumps([tuple(pool.names), tuple(pool.conditions), pool.dwell_s]).encode())
    digest.update(np.ascontiguousarray(pool.fids, dtype=np.complex64))
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class Contents:
    """What decides every number of a file.

    Attributes:
        recipe: of the scans.
        seed, batch: of the stream.
        number: scans of the whole file.
        names: metabolites.
        conditions: ("edit_off", "edit_on") or ("single",).
        linewidth_hz: Lorentzian width that the basis set is said to have (Hz).
        centre_hz: its spectrometer frequency (Hz).
        basis: its fingerprint.
        pool: `pool_fingerprint`.
        members: SHA-256 (hexadecimal) of all bases as the stream uses them.
        fsl_mrs_dl, torch: versions that made the scans.
    """

    recipe: Recipe
    seed: int
    batch: int
    number: int
    names: tuple[str, ...]
    conditions: tuple[str, ...]
    linewidth_hz: float
    centre_hz: float
    basis: str
    pool: str
    members: str
    fsl_mrs_dl: str = __version__
    torch: str = torch.__version__

    def __post_init__(self):
        # torch.__version__ is a kind of string of its own.
        object.__setattr__(self, "torch", str(self.torch))
        if self.number < 1 or self.batch < 1:
            raise ConfigError(f"--number and --batch must be 1 or more, not {self.number} and {self.batch}.")
        if not 0 <= self.seed < 2**62:
            raise ConfigError(f"--seed must be 0 to {2**62 - 1}, not {self.seed}.")

    @classmethod
    def of(cls, stream, basis, pool, number):
        """Contents of a file with the first `number` scans of a stream of a basis set and a pool (or None)."""
        return cls(
            stream.recipe, stream.seed, stream.batch, number, tuple(basis.names), tuple(basis.conditions),
            float(basis.linewidth_hz), float(basis.centre_hz), basis.fingerprint(), pool_fingerprint(pool),
            hashlib.sha256(stream.members.cpu().numpy()).hexdigest(),
        )  # fmt: skip

    @property
    def batches(self):
        """Number of batches, the last of which may be cut short."""
        return -(-self.number // self.batch)

    def rows(self, index):
        """Slice of the scans of a batch."""
        return slice(index * self.batch, min((index + 1) * self.batch, self.number))

    def bytes(self):
        """Size of the FIDs of the whole file (bytes)."""
        return 2 * self.number * len(self.conditions) * GRID_POINTS * 8


def write_scans(stream, contents, path, progress=None):
    """Write the scans of a stream to a file, or continue a file that was left unfinished.

    Args:
        stream: dataset.Stream that makes the contents.
        contents: Contents.
        path: of the file.
        progress: called as progress(scans finished) at the start and after each batch.

    Raises:
        OutputError: the file holds something else, or cannot be written; what was finished stays whole.
        ConfigError: the file is damaged.
    """
    path = Path(path)
    if not path.exists():
        _make(stream, contents, path)
    try:
        file = _opened(path, "r+")
    except OSError as exc:
        raise OutputError(f"{path} cannot be read as '{FORMAT}' ({_reason(exc)}); choose another name.") from exc
    finished = 0
    try:
        with file:
            found, finished = _contents_of(file, path)
            _check_same(path, found, contents)
            _check_parameters(file, path)
            for index in range(finished, contents.batches):
                if progress is not None:
                    progress(index * contents.batch)
                _write_batch(file, contents, index, stream[index])
                finished = index + 1
    except OSError as exc:
        done = min(finished * contents.batch, contents.number)
        raise OutputError(
            f"{path} cannot be written further ({_reason(exc)}); its first {done} of {contents.number} scans are whole "
            "and can be trained on. Free some space and give the same command again to continue."
        ) from exc
    if progress is not None:
        progress(contents.number)


def _write_batch(file, contents, index, batch):
    """Write a batch, and count it when it is on its way to the disk."""
    rows = contents.rows(index)
    kept = rows.stop - rows.start
    for name in ("measured", "clean"):
        file[name][rows] = getattr(batch, name)[:kept].cpu().numpy()
    for name, values in vars(batch.draw).items():
        if name == "noise_seed":
            file["parameters/noise_seed"][index] = values
        else:
            file[f"parameters/{name}"][rows] = values[:kept].cpu().numpy()
    file.flush()
    file["finished"][0] = index + 1
    file.flush()


def _make(stream, contents, path):
    """Make the file with a place for everything, under another name first: it appears whole."""
    part = path.with_name(f".{path.name}.new")
    try:
        with _opened(part, "w") as file:
            file.attrs["format"] = FORMAT
            values = to_dict(contents)
            file["recipe"] = json.dumps(values.pop("recipe"))
            file.attrs["contents"] = json.dumps(values)
            file.attrs["dwell_s"] = GRID_DWELL_S
            shape = (contents.number, len(contents.conditions), GRID_POINTS)
            chunk = min(next(n for n in range(MOST_SCANS_PER_CHUNK, 0, -1) if contents.batch % n == 0), contents.number)
            for name in ("measured", "clean"):
                _place(file, name, shape, np.complex64, chunks=(chunk, *shape[1:]))
            # Shapes and types of the drawn parameters are those of a batch.
            for name, values in vars(stream.draw(0)).items():
                if name == "noise_seed":
                    _place(file, f"parameters/{name}", (contents.batches,), np.int64)
                else:
                    values = values.numpy()
                    _place(file, f"parameters/{name}", (contents.number, *values.shape[1:]), values.dtype)
            _place(file, "finished", (1,), np.int64)
            file["finished"][0] = 0
        os.replace(part, path)
    except OSError as exc:
        raise OutputError(
            f"{path} cannot be made ({_reason(exc)}); it needs {contents.bytes() / 1e9:.1f} GB where you may write."
        ) from exc
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _place(file, name, shape, dtype, **options):
    """A data set whose place on the disk is fixed now, and whose values are written later."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    file.create_dataset(name, shape, dtype, dcpl=properties, **options)


def _opened(path, mode):
    """The HDF5 file; OutputError where another command is writing it."""
    try:
        return h5py.File(path, mode, **NO_CACHE)
    except BlockingIOError as exc:
        raise OutputError(f"{path} is open in another command; wait until that has ended.") from exc


def _reason(exc):
    """Cause of an error in a few words; HDF5's own messages are long and name it by its number."""
    text = str(exc)
    found = [part.split("'")[1] for part in text.split("error message = ")[1:]]
    return found[0] if found else getattr(exc, "strerror", None) or text


def _contents_of(file, path):
    """Contents of an open file, and how many of its batches are finished.

    Raises:
        OutputError: the file is not one of `write_scans`.
        ConfigError: it is one, but damaged.
    """
    if str(file.attrs.get("format")) != FORMAT:
        raise OutputError(f"{path} is no '{FORMAT}' file; choose another name.")
    try:
        values = json.loads(file.attrs["contents"])
        contents = from_dict(Contents, values | {"recipe": json.loads(file["recipe"][()])}, "contents")
        finished = int(file["finished"][0])
        shape = (contents.number, len(contents.conditions), GRID_POINTS)
        wanted = (shape, np.complex64)
        wrong = [name for name in ("measured", "clean") if (file[name].shape, file[name].dtype) != wanted]
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as exc:
        # ConfigError is a ValueError, and RecursionError, of lists within lists, a RuntimeError.
        raise ConfigError(f"{path} is damaged ({exc}); make it again with fsl_mrs_dl generate.") from exc
    if wrong or not 0 <= finished <= contents.batches:
        reason = f"{wrong[0]} has another size" if wrong else f"{finished} of {contents.batches} batches finished"
        raise ConfigError(f"{path} is damaged ({reason}); make it again with fsl_mrs_dl generate.")
    return contents, finished


def _check_same(path, found, wanted):
    """Refuse to continue a file with other contents."""
    for field in dataclasses.fields(Contents):
        old, new = (getattr(contents, field.name) for contents in (found, wanted))
        if old == new:
            continue
        if field.name == "recipe":
            old, new = _first_difference(old, new)
        raise OutputError(
            f"{path} was begun with another {field.name} ({_short(old)}, not {_short(new)}); give the same command to "
            "continue it, or choose another --output."
        )


def _check_parameters(file, path):
    """Refuse a file of a version with other parameters."""
    missing = [field.name for field in dataclasses.fields(Draw) if f"parameters/{field.name}" not in file]
    if missing:
        raise ConfigError(f"{path} is of another version, without {missing[0]}; make it again with this one.")


def _first_difference(old, new):
    """The first field in which two recipes differ, as two texts."""
    differing = next(f.name for f in dataclasses.fields(Recipe) if getattr(old, f.name) != getattr(new, f.name))
    return tuple(f"{differing} {getattr(recipe, differing)}" for recipe in (old, new))


def _short(value):
    """A value as a text that fits in a message."""
    text = str(value) or "none"
    return text if len(text) <= 60 else f"{text[:57]}..."


class StoredScans:
    """The finished batches of a file, with the interface of `dataset.Stream`.

    Batch i equals batch i of the stream that was written. Numbers past the last whole batch begin again
    with the first.

    Args:
        path: file of `write_scans`, finished or not.

    Raises:
        ConfigError: the file is missing, something else, or has no whole batch.
    """

    def __init__(self, path):
        self.path = Path(path)
        if not self.path.is_file():
            raise ConfigError(f"There is no file {path}; make one with fsl_mrs_dl generate.")
        try:
            with contextlib.ExitStack() as closed_on_error:
                self.file = closed_on_error.enter_context(_opened(self.path, "r"))
                self.contents, finished = _contents_of(self.file, path)
                closed_on_error.pop_all()
        except OSError as exc:
            raise ConfigError(
                f"{path} cannot be read as training scans ({_reason(exc)}); make it again with fsl_mrs_dl generate."
            ) from exc
        _check_parameters(self.file, path)
        contents = self.contents
        self.scans = min(finished * contents.batch, contents.number)
        self.length = self.scans // contents.batch
        if not self.length:
            raise ConfigError(f"{path} has {self.scans} scans, less than a batch of {contents.batch}: make more.")
        self.recipe, self.seed, self.batch = contents.recipe, contents.seed, contents.batch

    def __len__(self):
        """Number of whole batches."""
        return self.length

    def __getitem__(self, index):
        """Batch number `index`.

        Raises:
            DataError: the file is damaged there.
        """
        index %= self.length
        rows = self.contents.rows(index)
        drawn = {}
        try:
            for name in (field.name for field in dataclasses.fields(Draw)):
                stored = self.file[f"parameters/{name}"]
                drawn[name] = int(stored[index]) if name == "noise_seed" else torch.from_numpy(stored[rows])
            measured, clean = (torch.from_numpy(self.file[name][rows]) for name in ("measured", "clean"))
        except (OSError, KeyError, ValueError, TypeError, RuntimeError) as exc:
            raise DataError(
                f"Scans {rows.start} to {rows.stop - 1} of {self.path} cannot be read ({_reason(exc)}); make the file "
                "again with fsl_mrs_dl generate."
            ) from exc
        return Batch(measured, clean, Draw(**drawn))

    def check(self, basis, pool):
        """Refuse a basis set (`dataset.as_narrow`) or pool other than those that the scans were made with.

        Raises:
            ConfigError: one of them is another.
        """
        made = self.contents
        if (made.basis, made.names, made.linewidth_hz) != (basis.fingerprint(), tuple(basis.names), basis.linewidth_hz):
            raise ConfigError(f"{self.path} was made with another basis set: give that one as --basis.")
        if made.pool != pool_fingerprint(pool):
            given = "without a pool: leave --pool out" if not made.pool else "with a pool: give that one as --pool"
            raise ConfigError(f"{self.path} was made {given}; held-out scans are drawn like those of the file.")
