"""The command fsl_mrs_dl: finds the subcommand, runs it, and turns an input error into one line."""

import argparse
import difflib
import importlib
import os
import sys
from pathlib import Path

from .._version import __version__
from ..errors import FslMrsDlError

COMMANDS = {
    "fit": ("fsl_mrs_dl.cli.fit", "quantify scans with a trained model (the default command)"),
    "simulate": ("fsl_mrs_dl.cli.simulate", "make basis sets from a pulse sequence"),
    "generate": ("fsl_mrs_dl.cli.generate", "make training scans: a file, pictures or NIfTI-MRS"),
    "train": ("fsl_mrs_dl.cli.train", "train a model on spectra made from a basis set"),
    "calibrate": ("fsl_mrs_dl.cli.calibrate", "learn a model's error bars from simulated scans, and test them"),
    "adapt": ("fsl_mrs_dl.cli.adapt", "correct a model for a scanner by scans of known contents"),
    "select": ("fsl_mrs_dl.cli.select", "find the sizes of a network that suit a basis set and a recipe"),
    "noise": ("fsl_mrs_dl.cli.noise", "estimate the noise of scans, for training data like them"),
    "plugin": ("fsl_mrs_dl.cli.plugin", "make --algo dl known to FSL-MRS's own commands"),
    "evaluate": ("fsl_mrs_dl.cli.evaluate", "measure the errors of models and other fits"),
    "benchmark": ("fsl_mrs_dl.cli.benchmark", "time the fit of spectroscopic imaging, beside FSL-MRS's own"),
}
"""Subcommand -> (module, one line of help). A module has add_arguments(parser) and run(args) -> exit code."""

DEFAULT_COMMAND = "fit"

PIPE_CLOSED = 141
"""Exit code that a shell gives to a command whose reader has gone (128 + SIGPIPE)."""


def main(argv=None):
    """Run the command line.

    Args:
        argv: arguments without the program's name; sys.argv[1:] if None.

    Returns:
        Exit code: 0, 2 for bad input (printed as one line to stderr), 130 if interrupted, 141 if the reader of its
        output has gone, or what the subcommand returns.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview(), end="")
        return 0 if argv else 2
    if argv[0] in ("-v", "--version"):
        print(f"fsl_mrs_dl {__version__}")
        return 0
    if argv[0].startswith("-"):
        argv.insert(0, DEFAULT_COMMAND)
    name, *rest = argv
    if name not in COMMANDS:
        print(f"fsl_mrs_dl: {_unknown(name)}", file=sys.stderr)
        return 2
    return run_command(name, rest)


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage before it."""

    def error(self, message):
        """Print what is wrong and where the options stand; exit code 2."""
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help lists the options)\n")


def run_command(name, argv=None):
    """Parse the arguments of one subcommand and run it.

    Args:
        name: key of `COMMANDS`.
        argv: its arguments; sys.argv[1:] if None.

    Returns:
        Exit code, as of `main`.
    """
    module_name, line = COMMANDS[name]
    module = importlib.import_module(module_name)
    parser = OneLineParser(
        prog=f"fsl_mrs_dl {name}", description=line[0].upper() + line[1:] + ".", allow_abbrev=False
    )
    parser.add_argument("-v", "--version", action="version", version=f"fsl_mrs_dl {__version__}")
    module.add_arguments(parser)
    args = parser.parse_args(argv)
    try:
        code = module.run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Who read what is printed, such as head, has gone; nothing more can be said, at the end of Python either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except FslMrsDlError as exc:
        print(f"fsl_mrs_dl {name}: {' '.join(str(exc).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"fsl_mrs_dl {name}: interrupted.", file=sys.stderr)
        return 130


def _overview():
    """Text of `fsl_mrs_dl --help`."""
    width = max(map(len, COMMANDS))
    lines = [
        "usage: fsl_mrs_dl COMMAND [options]",
        "       fsl_mrs_dl --data SCAN [SCAN ...] --output FOLDER [options]   (short for fsl_mrs_dl fit)",
        "",
        "Deep-learning fitting of magnetic resonance spectra, a plugin to FSL-MRS.",
        "",
        "commands:",
        *(f"  {name:<{width}}  {line}" for name, (_, line) in COMMANDS.items()),
        "",
        "fsl_mrs_dl COMMAND --help lists the options of a command; --version prints the version.",
    ]
    return "\n".join(lines) + "\n"


def _unknown(name):
    """One line for a subcommand that does not exist, with the nearest that does."""
    if Path(name).exists():
        return f"'{name}' is a file, not a command; give scans as --data {name} --output FOLDER."
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}."
    return f"'{name}' is not a command; {hint}"


if __name__ == "__main__":
    sys.exit(main())
