"""The dispatcher: help, the short form of fit, errors as one line."""

import subprocess
import sys
import types

import pytest

from fsl_mrs_dl import __version__
from fsl_mrs_dl.cli import main as cli
from fsl_mrs_dl.errors import DataError


@pytest.fixture
def calls(monkeypatch):
    """A stand-in for the fit command that records what it is run with."""
    seen = []
    module = types.ModuleType("stand_in_fit")
    module.add_arguments = lambda parser: parser.add_argument("--data")

    def run(args):
        seen.append(args.data)
        if args.data == "bad":
            raise DataError("No scan\nthere.")
        if args.data == "stop":
            raise KeyboardInterrupt
        return 3

    module.run = run
    monkeypatch.setitem(sys.modules, "stand_in_fit", module)
    monkeypatch.setitem(cli.COMMANDS, "fit", ("stand_in_fit", "a stand-in"))
    return seen


def test_help_lists_the_commands(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in cli.COMMANDS)
    assert cli.main([]) == 2


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"fsl_mrs_dl {__version__}"


def test_options_without_a_command_are_for_fit(calls):
    assert cli.main(["--data", "a"]) == 3
    assert cli.main(["fit", "--data", "b"]) == 3
    assert calls == ["a", "b"]


def test_input_error_is_one_line_and_exit_code_2(calls, capsys):
    assert cli.main(["--data", "bad"]) == 2
    assert capsys.readouterr().err == "fsl_mrs_dl fit: No scan there.\n"
    assert cli.main(["--data", "stop"]) == 130


def test_unknown_command_names_the_nearest(capsys):
    assert cli.main(["simulat"]) == 2
    assert "did you mean simulate?" in capsys.readouterr().err


def test_options_are_not_abbreviated(calls):
    with pytest.raises(SystemExit) as stop:
        cli.main(["fit", "--dat", "a"])
    assert stop.value.code == 2


def test_a_reader_that_has_gone_is_no_error():
    """As in `fsl_mrs_dl ... | head`: output that nobody reads ends the command quietly."""
    program = (
        "import sys, types; from fsl_mrs_dl.cli import main as cli\n"
        "cli.importlib = types.SimpleNamespace(import_module=lambda name: types.SimpleNamespace("
        "add_arguments=lambda parser: None, run=lambda args: print('x' * 100000) or 0))\n"
        "sys.exit(cli.main(['plugin']))"
    )
    command = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    command.stdout.close()
    error = command.stderr.read()
    assert command.wait() == cli.PIPE_CLOSED
    assert error == b""
