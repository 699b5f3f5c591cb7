"""fsl_mrs_dl evaluate: errors of models on simulated scans and on scans of known contents."""


def add_arguments(parser):
    """Options of the command."""
    add = parser.add_argument
    add("--models", nargs="+", default=["yae", "cnn"], help="names or folders of models (default: yae cnn)")
    add("--basis", nargs="+", help="basis set of the models (default: the shipped one)")
    add("--scans", help="folder of NIfTI-MRS scans with truth.csv (columns id, series and one a metabolite, in mM)")
    add("--beside", help="CSV file of other methods' errors on these scans (method and one column a metabolite)")
    add("--simulated", type=int, help="errors on that many new spectra at the published conditions, beside their bound")
    add("--seed", type=int, default=90001, help="of the simulated spectra (default: %(default)s)")
    add("--output", help="CSV file for the tables")


def run(args):
    """Print a table for each kind of scans asked for."""
    import pandas as pd

    from ..errors import ConfigError
    from ..evaluate.tables import phantom_table, read_errors, simulated_table
    from ..fit.quantify import basis_for
    from ..model.checkpoint import load_model

    if args.simulated is not None and args.simulated < 1:
        raise ConfigError(f"--simulated must be 1 or more spectra, not {args.simulated}.")
    if not args.scans and not args.simulated:
        raise ConfigError("Nothing to evaluate: give --scans FOLDER, --simulated NUMBER or both.")
    if args.output:
        _check_output(args.output)
    models = [load_model(name) for name in args.models]
    bases = [basis_for(model, args.basis) for model in models]
    tables = {}
    if args.simulated:
        title = f"{args.simulated} simulated spectra at the published conditions"
        tables[title] = simulated_table(models, bases, args.simulated, args.seed)
    if args.scans:
        table = phantom_table(models, bases, args.scans)
        tables[f"scans of {args.scans}"] = pd.concat([table, read_errors(args.beside, table)]) if args.beside else table
    for title, table in tables.items():
        print(f"Mean absolute errors (relative to the largest concentration), {title}:")
        print(table.to_string(float_format="{:.4f}".format, sparsify=False), end="\n\n")
    if args.output:
        try:
            pd.concat(tables, names=["scans"]).to_csv(args.output, mode="x")
        except OSError as exc:
            raise _no_output(args.output, exc) from exc
    return 0


def _check_output(path):
    """Raise OutputError where a new file cannot be made; leaves none behind."""
    from pathlib import Path

    try:
        with open(path, "x"):
            pass
        Path(path).unlink()
    except OSError as exc:
        raise _no_output(path, exc) from exc


def _no_output(path, exc):
    """OutputError of an OSError."""
    from ..errors import OutputError

    return OutputError(f"--output {path} cannot be made ({exc.strerror or exc}); choose a new file elsewhere.")
