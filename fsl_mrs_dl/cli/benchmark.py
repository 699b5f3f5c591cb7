"""fsl_mrs_dl benchmark: time the fit of spectroscopic imaging, beside FSL-MRS's own."""

import os


def add_arguments(parser):
    """Options of the command."""
    add = parser.add_argument
    add("--voxels", nargs="+", type=int, default=(16, 16), metavar="N", help="simulated grid (default: 16 16)")
    add("--data", metavar="SCAN", help="spectroscopic imaging of your own instead, with --mask")
    add("--mask", metavar="MASK", help="its voxels to fit")
    add("--model", default="hybrid_off", help="model of one spectrum (default: %(default)s)")
    add("--basis", nargs="+", help="basis set that the model was trained with (default: the shipped one)")
    add("--internal_ref", nargs="+", default=["Cr"], metavar="METAB", help="internal reference (default: Cr)")
    add("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="of FSL-MRS (default: %(default)s)")
    add("--serial", action="store_true", help="also time FSL-MRS in one process")
    add("--repeats", type=int, default=3, metavar="N", help="runs of fsl_mrs_dl, medians count (default: %(default)s)")
    add("--output", metavar="FILE", help="also write the times to this CSV file")


def run(args):
    """Time all commands and print a table; 0."""
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
    basis = basis_for(load_model(args.model), args.basis)
    host = host_version()
    speeds = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data, mask = (args.data, args.mask) if args.data else simulate_grid(folder, basis, shape)
        few = 2
        total = few_of(mask, few, folder / "few.nii.gz")
        workers = ((args.workers,) + (0,) * args.serial) if host else ()
        _print_head(total)
        for name, command in commands(data, basis.folders[0], args.model, args.internal_ref, folder, workers).items():
            repeats = args.repeats if name == "fsl_mrs_dl" else 1
            speeds.append(measure_speed(name, command, (mask, total), (folder / "few.nii.gz", few), repeats))
            _print_row(speeds[-1])
    for one in speeds[1:]:
        _compare(speeds[0], one)
    if not host:
        print("FSL-MRS cannot be imported by this Python, so there is nothing to compare with.")
    if args.output:
        _write(Path(args.output), speeds)
    return 0


COLUMNS = ("whole command, s", "voxels/s of it", "voxels/s after the start", "CPU ms a further voxel")


def _print_head(total):
    """Head of a Markdown table."""
    print(f"| {total} voxels | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|", flush=True)


def _print_row(speed):
    """Row of the table."""
    values = speed.wall_s, speed.voxels_per_s, speed.further_per_s, speed.cpu_ms
    print(f"| {speed.name} | " + " | ".join(f"{value:.4g}" for value in values) + " |", flush=True)


def _compare(ours, other):
    """How many times faster the first one is: by wall time and by processor time after the start, and in all."""
    after, cpu = ours.further_per_s / other.further_per_s, other.cpu_ms / ours.cpu_ms
    whole = ours.voxels_per_s / other.voxels_per_s
    print(
        f"\n{ours.name} fits {after:.0f} times the voxels per second of {other.name} after the start ({cpu:.0f} times "
        f"by processor time); {whole:.0f} times with the start of both commands."
    )


def _write(path, speeds):
    """CSV file of all times."""
    import csv
    from dataclasses import asdict

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(speeds[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, speeds))
