"""fsl_mrs_dl benchmark: time the fit of spectroscopic imaging, or of single voxels, beside FSL-MRS's own."""

import os
from itertools import product

IMAGING = {
    "voxels": (16, 16), "data": None, "mask": None, "internal_ref": ("Cr",), "workers": os.cpu_count() or 1,
    "serial": False, "repeats": 3,
}  # fmt: skip
SINGLE = {"recipe": "phantom", "newton": 40, "refine": None}
"""Options of the one and of the other benchmark, and what they are where they are not given."""


def add_arguments(parser):
    """Options of the command."""
    add = parser.add_argument
    add("--voxels", nargs="+", type=int, metavar="N", help="simulated grid (default: 16 16)")
    add("--data", metavar="SCAN", help="spectroscopic imaging of your own instead, with --mask")
    add("--mask", metavar="MASK", help="its voxels to fit")
    add("--scans", type=int, metavar="N", help="time this many simulated single-voxel scans instead of imaging")
    add("--recipe", help=f"with --scans, of what they look like (default: {SINGLE['recipe']})")
    newton = f"with --scans, how many of them FSL-MRS fits too (default: {SINGLE['newton']})"
    add("--newton", type=int, metavar="N", help=newton)
    add("--refine", type=int, metavar="N", help="with --scans, steps that refine the estimates (default: none)")
    add("--model", help="model to time (default: hybrid_off, of one spectrum; with --scans hybrid)")
    add("--basis", nargs="+", help="basis set that the model was trained with (default: the shipped one)")
    add("--internal_ref", nargs="+", metavar="METAB", help="internal reference (default: Cr)")
    add("--workers", type=int, metavar="N", help=f"of FSL-MRS (default: {IMAGING['workers']})")
    add("--serial", action="store_true", default=None, help="also time FSL-MRS in one process")
    runs = f"runs of fsl_mrs_dl on imaging, medians count (default: {IMAGING['repeats']})"
    add("--repeats", type=int, metavar="N", help=runs)
    add("--output", metavar="FILE", help="also write the times to this CSV file")


def run(args):
    """Time all fits and print a table; 0."""
    from ..errors import ConfigError

    own, others = (IMAGING, SINGLE) if args.scans is None else (SINGLE, IMAGING)
    unused = ", ".join(f"--{name}" for name in others if getattr(args, name) is not None)
    if unused and args.scans is None:
        raise ConfigError(f"{unused} would not be used without --scans N: give that too, or leave {unused} out.")
    if unused:
        raise ConfigError(f"{unused} would not be used: --scans times single voxels. Leave {unused} or --scans out.")
    if args.data and args.voxels:
        raise ConfigError("--voxels would not be used: it is of a simulated grid. Leave --voxels or --data out.")
    for name, value in own.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return _time_imaging(args) if args.scans is None else _time_single(args)


def _time_imaging(args):
    """Times of whole commands on the voxels of a mask."""
    import tempfile
    from pathlib import Path

    from ..errors import ConfigError
    from ..evaluate.imaging_speed import commands, few_of, measure_speed, simulate_grid
    from ..fit.quantify import basis_for
    from ..fslmrs.start_line import host_version
    from ..model.checkpoint import load_model

    if bool(args.data) != bool(args.mask):
        raise ConfigError("Give --data and --mask together, or neither for simulated voxels.")
    shape = (*args.voxels, 1, 1)[:3]
    if len(args.voxels) > 3 or min(shape) < 1 or args.repeats < 1 or args.workers < 1:
        raise ConfigError("--voxels takes one to three numbers, --repeats and --workers one, all of at least 1.")
    model = args.model or "hybrid_off"
    basis = basis_for(load_model(model), args.basis)
    host = host_version()
    speeds = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data, mask = (args.data, args.mask) if args.data else simulate_grid(folder, basis, shape)
        few = 2
        total = few_of(mask, few, folder / "few.nii.gz")
        workers = ((args.workers,) + (0,) * args.serial) if host else ()
        _print_head(f"{total} voxels", COLUMNS)
        for name, command in commands(data, basis.folders[0], model, args.internal_ref, folder, workers).items():
            repeats = args.repeats if name.startswith("fsl_mrs_dl") else 1
            one = measure_speed(name, command, (mask, total), (folder / "few.nii.gz", few), repeats)
            speeds.append(one)
            _print_row(name, one.wall_s, one.voxels_per_s, one.further_per_s, one.cpu_ms)
    for ours, newton in product(speeds[:2], speeds[2:]):
        _compare(ours, newton)
    return _end(args, host, speeds)


def _time_single(args):
    """Times of fits of simulated scans of single voxels, in this process."""
    from ..errors import ConfigError
    from ..evaluate.conventional import PPM_RANGE
    from ..evaluate.scan_speed import network_speed, newton_speed, simulate_scans
    from ..fit.quantify import basis_for
    from ..fslmrs.start_line import host_version
    from ..model.checkpoint import DEFAULT_MODEL, load_model
    from ..synth.priors import recipe_named

    if args.scans < 1 or args.newton < 1:
        raise ConfigError("--scans and --newton take numbers of at least 1.")
    model = load_model(args.model or DEFAULT_MODEL).refined(args.refine or 0)
    scans = simulate_scans(basis_for(model, args.basis), recipe_named(args.recipe), args.scans)
    host = host_version()
    _print_head(f"{args.scans} scans of recipe {args.recipe}", SCAN_COLUMNS)
    speeds = [network_speed(model, scans)]
    _print_speed(speeds[0])
    if host:
        from ..fslmrs.newton import NewtonFit, newton_version

        fit, version = NewtonFit(PPM_RANGE), newton_version(PPM_RANGE)
        speeds.append(newton_speed(scans, min(args.newton, args.scans), fit, version))
        _print_speed(speeds[1])
        # Of medians, as single Newton fits take many times as long as the others.
        ratio = speeds[1].median_ms / speeds[0].median_ms
        print(f"\nMedian processor time of a scan: {speeds[1].name} takes {ratio:.0f} times that of {speeds[0].name}.")
    return _end(args, host, speeds)


def _end(args, host, speeds):
    """What both kinds end with: a word on a host that is missing, and the file of --output; 0."""
    if not host:
        print("FSL-MRS cannot be imported by this Python, so there is nothing to compare with.")
    if args.output:
        _write(args.output, speeds)
    return 0


COLUMNS = ("whole command, s", "voxels/s of it", "voxels/s after the start", "CPU ms a further voxel")
SCAN_COLUMNS = ("fitted", "s", "scans/s", "CPU s", "CPU ms a scan, median", "mean absolute error")


def _print_head(title, columns):
    """Head of a Markdown table."""
    print(f"| {title} | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|", flush=True)


def _print_row(name, *values):
    """Row of a table; whole numbers are counts."""
    words = (str(value) if isinstance(value, int) else f"{value:.4g}" for value in values)
    print(f"| {name} | " + " | ".join(words) + " |", flush=True)


def _print_speed(speed):
    """Row of the table of single voxels."""
    _print_row(speed.name, speed.scans, speed.wall_s, speed.scans_per_s, speed.cpu_s, speed.median_ms, speed.error)


def _compare(ours, other):
    """How many times faster the first one is: by wall time and by processor time after the start, and in all."""
    after, cpu = ours.further_per_s / other.further_per_s, other.cpu_ms / ours.cpu_ms
    whole = ours.voxels_per_s / other.voxels_per_s
    print(
        f"\n{ours.name} fits {after:.0f} times the voxels per second of {other.name} after the start ({cpu:.0f} times "
        f"by processor time); {whole:.0f} times with the start of both commands."
    )


def _write(path, speeds):
    """CSV file of all times; OutputError where it cannot be written."""
    import csv
    import io
    from dataclasses import asdict
    from pathlib import Path

    from ..errors import OutputError
    from ..folders import write_whole

    table = io.StringIO()
    writer = csv.DictWriter(table, list(asdict(speeds[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, speeds))
    try:
        write_whole(Path(path), table.getvalue())
    except OSError as exc:
        raise OutputError(f"{path} cannot be written ({exc.strerror}); name a file where you may write.") from exc
