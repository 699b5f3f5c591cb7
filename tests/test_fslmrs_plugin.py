"""The hook that waits for FSL-MRS, in processes of their own."""

import os
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from fsl_mrs_dl.fslmrs import plugin, start_line

PACKAGE_FOLDER = str(Path(plugin.__file__).parents[2])


def python(code, folder, **environment):
    """What a new Python process prints."""
    path = os.pathsep.join([PACKAGE_FOLDER, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_imports_nothing_heavy(tmp_path):
    code = "import sys, fsl_mrs_dl; print(sorted({'fsl_mrs', 'torch', 'numpy', 'functools'} & set(sys.modules)))"
    assert set(eval(python(code, tmp_path))) <= {"functools"}


def test_the_line_is_fast_and_imports_nothing(tmp_path):
    code = (
        "import sys, time; before = set(sys.modules); start = time.perf_counter(); "
        f"exec({start_line.LINE!r}); print(time.perf_counter() - start); print(set(sys.modules) - before)"
    )
    seconds, modules = python(code, tmp_path).splitlines()
    assert float(seconds) < 5e-3 and modules == "set()"


def test_the_line_is_one_line_that_python_runs():
    assert start_line.LINE.startswith("import ") and start_line.LINE.count("\n") == 1


def test_the_line_is_harmless_where_the_package_is_gone(tmp_path):
    (tmp_path / "fsl_mrs.py").write_text("VALUE = 3\n")
    (tmp_path / "fsl_mrs_dl.py").write_text("raise RuntimeError('broken')\n")
    code = f"exec({start_line.LINE!r}); import fsl_mrs; print(fsl_mrs.VALUE)"
    assert python(code, tmp_path, PYTHONPATH=str(tmp_path)) == "3"


@pytest.mark.with_fsl_mrs
@pytest.mark.parametrize(
    "imports",
    [
        "import fsl_mrs_dl; from fsl_mrs.core import MRS",
        "from fsl_mrs.core import MRS; import fsl_mrs_dl",
        "import fsl_mrs.utils.fitting; import fsl_mrs_dl; from fsl_mrs.core import MRS",
        f"exec({start_line.LINE!r}); from fsl_mrs.core import MRS; import fsl_mrs_dl; fsl_mrs_dl._plugin.install()",
    ],
)
def test_order_of_imports_does_not_matter(tmp_path, imports):
    code = (
        "import warnings; warnings.simplefilter('ignore'); "
        f"{imports}; import sys; from fsl_mrs.utils import fitting; import fsl_mrs.core.mrs as core; "
        "once = not hasattr(fitting.fit_FSLModel.__wrapped__, '__wrapped__'); "
        "print(once, fitting.fit_FSLModel is core.fit_FSLModel, 'torch' in sys.modules, fitting.fit_FSLModel.__name__)"
    )
    assert python(code, tmp_path) == "True True False fit_FSLModel"


@pytest.mark.with_fsl_mrs
def test_the_report_is_wrapped_too(tmp_path):
    code = (
        "import warnings; warnings.simplefilter('ignore'); import fsl_mrs_dl; from fsl_mrs.utils import report; "
        "print(report.svs_methods_summary.fsl_mrs_dl)"
    )
    assert python(code, tmp_path) == "True"


def test_a_host_that_cannot_be_wrapped_is_still_imported():
    stranger = types.ModuleType("fsl_mrs.utils.fitting")
    with pytest.warns(UserWarning, match="cannot add the algorithm 'dl'"):
        plugin.wrap(stranger)


def test_installing_twice_is_installing_once():
    plugin.install()
    before = list(sys.meta_path)
    plugin.install()
    assert sys.meta_path == before
    finder = next(one for one in before if isinstance(one, plugin.Finder))
    start = time.perf_counter()
    assert all(finder.find_spec(f"module_{number}") is None for number in range(1000))
    assert time.perf_counter() - start < 0.05
