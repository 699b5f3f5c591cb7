"""fsl_mrs_dl simulate: basis sets from a pulse sequence."""

import math
import sys

BUILT = ("megapress", "press", "steam")

BUILDER_DEFAULTS = {
    "b0": 2.894,
    "edit_on": 1.9,
    "edit_off": 7.4,
    "slice_thickness": 30.0,
    "slice_ppm": 3.0,
    "resolution": 8,
    "bandwidth": 2000.0,
    "points": 4096,
    "linewidth": 1.0,
}
"""Options that make a sequence; a sequence file states these itself."""

EDITING_OPTIONS = ("edit_on", "edit_off")
PPM_OPTIONS = (*EDITING_OPTIONS, "slice_ppm")
TE_MS = {"megapress": 68.0, "press": 30.0, "steam": 20.0}
TM_MS = 32.0


def add_arguments(parser):
    """Options of the command."""
    default = BUILDER_DEFAULTS
    add = parser.add_argument
    add(
        "--sequence",
        nargs="+",
        required=True,
        metavar="SEQUENCE",
        help="megapress, press or steam; or a sequence description FILE.json, or two of them (edit-off, edit-on)",
    )
    add("--metabolites", nargs="+", metavar="NAME", help="what to simulate (default: every spin system known)")
    add("--output", required=True, help="folder to make: off, on and diff of an edited sequence")
    add("--te", type=float, metavar="MS", help=f"echo time, ms (default: {_listed(TE_MS)})")
    add("--tm", type=float, metavar="MS", help=f"mixing time of steam, ms (default: {TM_MS:g})")
    add("--b0", type=float, metavar="T", help=f"static field, T (default: {default['b0']})")
    add("--edit_on", type=float, metavar="PPM", help=f"editing frequency, ppm (default: {default['edit_on']})")
    add("--edit_off", type=float, metavar="PPM", help=f"the same in edit-off, ppm (default: {default['edit_off']})")
    add("--slice_thickness", type=float, metavar="MM", help=f"slices, mm (default: {default['slice_thickness']:g})")
    add(
        "--slice_ppm",
        type=float,
        metavar="PPM",
        help=f"chemical shift that the slices are right for, ppm (default: {default['slice_ppm']:g})",
    )
    add("--resolution", type=int, help=f"positions along each selected axis (default: {default['resolution']})")
    add("--bandwidth", type=float, metavar="HZ", help=f"receiver, Hz (default: {default['bandwidth']:g})")
    add("--points", type=int, help=f"points received (default: {default['points']})")
    add("--linewidth", type=float, metavar="HZ", help=f"width of every line, Hz (default: {default['linewidth']:g})")
    add("--spin_systems", metavar="FILE", help="table of spin systems, JSON (default: the shipped one)")
    add("--pool", type=int, metavar="N", help="also write pool.h5: N bases with varied sequence and shifts")
    add("--pool_ranges", metavar="FILE", help="what a pool varies, where other than by default: JSON, name to range")
    add("--seed", type=int, default=1, help="of the variations in a pool (default: %(default)s)")
    add(
        "--engine",
        choices=("torch", "fsl"),
        default="torch",
        help="simulator: ours, or FSL-MRS's where it is installed (default: %(default)s)",
    )
    add(
        "--device",
        default="cpu",
        help="cpu, gpu, auto (a GPU where there is one) or any torch device (default: %(default)s)",
    )
    add("--report", action="store_true", help="draw every metabolite, basis_1.png and so on")
    add("--overwrite", action="store_true", help="replace the output folder")


def run(args):
    """Simulate and write the output folder, whole or not at all."""
    from ..errors import ConfigError
    from ..folders import whole_folder

    _check_engine(args)
    if args.pool is None and args.pool_ranges is not None:
        raise ConfigError("--pool_ranges is of a pool: give --pool N too, or leave it out.")
    args.device = _device(args.device)
    sequences = sequences_of(args)
    if args.engine == "fsl":
        _check_for_fsl(sequences)
    priors = _pool_priors(args) if args.pool is not None else None
    with whole_folder(args.output, args.overwrite) as folder:
        basis = _simulated(sequences, args)
        _write(basis, sequences, folder)
        if args.report:
            from ..basis.plot import save_figures

            save_figures(basis, folder)
        if priors is not None:
            _write_pool(priors, basis.names, args, folder)
    parts = "off, on, diff" if len(sequences) == 2 else "one condition"
    print(f"{args.output}: {parts}; {', '.join(basis.names)}; fingerprint {basis.fingerprint()[:12]}")
    return 0


def main(argv=None):
    """The command on its own; returns the exit code."""
    from .main import run_command

    return run_command("simulate", argv)


def sequences_of(args):
    """The Sequences that the options ask for: one, or edit-off and edit-on.

    Raises:
        ConfigError: options that do not go together.
        BasisError: a sequence file that cannot be used.
    """
    from ..errors import ConfigError

    name = args.sequence[0]
    if name in BUILT:
        if len(args.sequence) > 1:
            raise ConfigError(f"--sequence takes one of {', '.join(BUILT)}, or files; not {' '.join(args.sequence)}.")
        return _built(name, args)
    given = [option for option in (*BUILDER_DEFAULTS, "te", "tm") if getattr(args, option) is not None]
    if given:
        raise ConfigError(f"A sequence file states its own settings; change the file instead of giving --{given[0]}.")
    return _from_files(args.sequence)


def _check_engine(args):
    """Raise ConfigError where FSL-MRS's simulator is asked for and is not there, or for what it does not do."""
    if args.engine == "fsl":
        from ..errors import ConfigError
        from ..fslmrs.simulator import require_simulator

        require_simulator()
        if args.pool is not None:
            raise ConfigError("--pool is made by --engine torch only; leave out --engine fsl or --pool.")


def _check_for_fsl(sequences):
    """Raise ConfigError for a sequence that FSL-MRS's simulator would take for another one."""
    from ..errors import ConfigError

    blocks = [block for sequence in sequences for block in sequence.blocks]
    if any(block.cycle for block in blocks):
        raise ConfigError("--engine fsl knows no PhaseCycle; leave out --engine fsl or use CoherenceFilter.")
    if any(block.pulse.band_hz < math.inf for block in blocks):
        raise ConfigError("--engine fsl knows no band of a pulse; leave out --engine fsl or give the pulse's points.")


def _device(name):
    """The torch device of an option: auto, gpu, or as torch calls it.

    Raises:
        ConfigError: torch does not know it, or does not have it here.
    """
    import torch

    from ..errors import ConfigError

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    device = "cuda" if name == "gpu" else name
    try:
        torch.zeros(1, dtype=torch.complex128, device=device).tolist()
    except (RuntimeError, AssertionError, TypeError) as exc:
        # A torch built without CUDA says so with an AssertionError.
        raise ConfigError(f"--device must be one that torch has here; {name} is none, cpu is one.") from exc
    return device


def _settings(name, args):
    """Options of a builder by name, defaults where an option is not given."""
    from ..errors import ConfigError

    unused = {"megapress": ("tm",), "press": ("tm", *EDITING_OPTIONS), "steam": EDITING_OPTIONS}[name]
    given = [option for option in unused if getattr(args, option) is not None]
    if given:
        raise ConfigError(f"The sequence {name} has no --{given[0]}; leave it out.")
    values = {key: getattr(args, key) for key in (*BUILDER_DEFAULTS, "te", "tm") if getattr(args, key) is not None}
    values = BUILDER_DEFAULTS | {"te": TE_MS[name], "tm": TM_MS} | values
    for key, value in values.items():
        if not math.isfinite(value) or (value < 0 and key not in PPM_OPTIONS):
            rule = "a number" if key in PPM_OPTIONS else "a number of 0 or more"
            raise ConfigError(f"--{key} must be {rule}, not {value}.")
    return values


def _shared_options(values):
    """Arguments that builders and pools both take, in their units."""
    return {
        "te_s": values["te"] / 1e3,
        "b0_t": values["b0"],
        "slice_ppm": values["slice_ppm"],
        "positions": values["resolution"],
        "points": values["points"],
        "bandwidth_hz": values["bandwidth"],
        "linewidth_hz": values["linewidth"],
    }


def _built(name, args):
    """List of Sequences of a builder."""
    from ..basis import builders

    values = _settings(name, args)
    options = _shared_options(values) | {"slice_thickness_m": values["slice_thickness"] / 1e3}
    if name == "megapress":
        return list(builders.megapress(**options, edit_on_ppm=values["edit_on"], edit_off_ppm=values["edit_off"]))
    if name == "steam":
        return [builders.steam(**options, tm_s=values["tm"] / 1e3)]
    return [builders.press(**options)]


def _from_files(paths):
    """List of Sequences of one or two files."""
    from pathlib import Path

    from ..basis.sequence import read_sequence
    from ..errors import ConfigError

    if len(paths) > 2:
        raise ConfigError(f"A basis has one sequence or two (edit-off, edit-on), not {len(paths)} files.")
    unknown = [path for path in paths if not Path(path).is_file()]
    if unknown:
        raise ConfigError(f"--sequence must be {', '.join(BUILT)} or a file; there is no file {unknown[0]}.")
    sequences = [read_sequence(path) for path in paths]
    if len({sequence.centre_hz for sequence in sequences}) > 1:
        raise ConfigError(f"Both sequences of an edited basis need one B0; {paths[0]} and {paths[1]} differ.")
    return sequences


def _simulated(sequences, args):
    """BasisSet of Sequences, with a progress bar; prints a note if it does not look as expected."""
    from tqdm import tqdm

    from ..basis.basis_set import EDITED, SINGLE, BasisSet, check_basis
    from ..basis.simulate import simulate
    from ..basis.spins import find_systems, load_systems
    from ..errors import BasisError

    table = load_systems(args.spin_systems)
    names = sorted(args.metabolites or table)
    systems = find_systems(names, table)
    with tqdm(total=len(names), desc="metabolites", unit="", disable=None) as bar:
        step = lambda done, _: bar.update(done - bar.n)  # noqa: E731
        if args.engine == "fsl":
            from ..fslmrs.simulator import simulate as simulate_fsl

            fids = simulate_fsl(sequences, names, systems, step)
        else:
            fids = simulate(sequences, names, systems, args.device, step)
    first = sequences[0]
    basis = BasisSet(
        fids=fids,
        conditions=EDITED if len(sequences) == 2 else SINGLE,
        names=names,
        dwell_s=first.dwell_s,
        centre_hz=first.centre_hz,
        linewidth_hz=first.linewidth_hz,
        nucleus=first.nucleus,
    ).rounded()
    try:
        check_basis(basis)
    except BasisError as exc:
        # A sequence of the user's own may well be unusual; that is no reason to withhold its basis.
        print(f"fsl_mrs_dl simulate: note: {exc}", file=sys.stderr)
    return basis


def _pool_priors(args):
    """PoolPriors around the sequence that the options ask for.

    Raises:
        ConfigError: the pool cannot be of this sequence or these spin systems.
    """
    from ..basis.pool import PoolPriors
    from ..config import read_json
    from ..errors import ConfigError

    if args.sequence != ["megapress"]:
        raise ConfigError(f"--pool varies the sequence megapress; it cannot vary {' '.join(args.sequence)}.")
    if args.spin_systems is not None:
        raise ConfigError("--pool varies the shipped spin systems; leave out --spin_systems.")
    if args.pool < 1:
        raise ConfigError(f"--pool must be 1 or more bases, not {args.pool}.")
    values = _settings("megapress", args)
    moved = {}
    fields = {"edit_on": "edit_on_ppm", "edit_off": "edit_off_ppm", "slice_ppm": "slice_centre_ppm"}
    for option, field in fields.items():
        if getattr(args, option) is not None:
            shift = values[option] - BUILDER_DEFAULTS[option]
            moved[field] = tuple(limit + shift for limit in getattr(PoolPriors, field))
    priors = PoolPriors(**_shared_options(values), **moved)
    if args.pool_ranges is None:
        return priors
    return priors.with_ranges(read_json(args.pool_ranges, "ranges of a pool"), args.pool_ranges)


def _write_pool(priors, names, args, folder):
    """Sample a pool, with a progress bar, and write it to pool.h5."""
    from tqdm import tqdm

    from ..basis.pool import sample_pool, write_pool

    with tqdm(total=args.pool * len(names), desc="pool", unit="", disable=None) as bar:
        pool = sample_pool(priors, names, args.pool, args.seed, lambda done, _: bar.update(done - bar.n), args.device)
    write_pool(pool, folder / "pool.h5")


def _write(basis, sequences, folder):
    """Write the basis, and the sequence descriptions where no reader of a basis takes them for metabolites."""
    from ..basis.basis_set import SUBFOLDERS, write_basis
    from ..basis.sequence import write_sequence

    pairs = dict(zip(basis.conditions, sequences, strict=True))
    write_basis(basis, folder, {condition: sequence.to_json() for condition, sequence in pairs.items()})
    if len(sequences) == 1:
        (folder / "sequence").mkdir()
        write_sequence(sequences[0], folder / "sequence" / "sequence.json")
        return
    for condition, sequence in pairs.items():
        write_sequence(sequence, folder / f"sequence_{SUBFOLDERS[condition]}.json")


def _listed(values):
    """Text such as "megapress 68, press 30"."""
    return ", ".join(f"{name} {value:g}" for name, value in values.items())


if __name__ == "__main__":
    sys.exit(main())
