"""The start-up line: a .pth file that has the Python processes of an environment run `plugin.install`.

Python runs the lines of .pth files in its site-packages folders when it starts. This one only waits for the first
import of FSL-MRS: nothing is imported before, and nothing happens where fsl_mrs_dl is gone. The file is also
entered into the list of files of the installed distribution where there is one, so that pip removes it with the
package.
"""

import importlib.util
import site
import subprocess
import sys
import sysconfig
import tempfile
from importlib import metadata
from pathlib import Path

from ..errors import OutputError

FILE = "fsl_mrs_dl_plugin.pth"
_CODE = """
import sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "fsl_mrs":
            try:
                from fsl_mrs_dl.fslmrs.plugin import install

                install()
            except Exception:
                pass

sys.meta_path.insert(0, Watch())
"""

LINE = f"import sys; exec({_CODE!r}, {{}})\n"
"""A line of a .pth file is run only if it starts with import; the code in it stands in a namespace of its own."""

_CHECK = (
    "import importlib.util, sys; importlib.util.find_spec('fsl_mrs'); "
    "sys.exit(all(type(one).__module__ != 'fsl_mrs_dl.fslmrs.plugin' for one in sys.meta_path))"
)


def folders():
    """Paths of the site-packages folders that this Python reads at start: the environment's, then the user's."""
    users = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [Path(path) for path in dict.fromkeys([sysconfig.get_path("purelib"), *users])]


def enabled():
    """Paths of the start-up files that are there."""
    return [folder / FILE for folder in folders() if (folder / FILE).is_file()]


def enable():
    """Write the start-up line, and try it in a new process.

    Returns:
        Path of the file.

    Raises:
        OutputError: no folder can be written, or a new Python does not find the package.
    """
    present = enabled()
    path = present[0] if present else _write()
    # Away from the current folder, where a checkout would be found that other commands do not find.
    with tempfile.TemporaryDirectory() as elsewhere:
        works = subprocess.run([sys.executable, "-c", _CHECK], cwd=elsewhere, check=False).returncode == 0
    if not works:
        if not present:
            path.unlink()
        raise OutputError(
            f"A new process of {sys.executable} does not find fsl_mrs_dl, so the start-up line would do nothing: "
            "install the package into this environment first (pip install fsl_mrs_dl)."
        )
    _enter(path)
    return path


def disable():
    """Remove the start-up line; returns the Paths that were removed."""
    present = enabled()
    for path in present:
        try:
            path.unlink()
        except OSError as exc:
            raise OutputError(f"{path} cannot be removed ({exc.strerror}): remove it as the user who made it.") from exc
        record = _record(path)
        if record is not None:
            lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
            record.write_text("".join(line for line in lines if line.split(",")[0] != FILE), encoding="utf-8")
    return present


def host_version():
    """Version of the FSL-MRS that Python would import; "of unknown version" without metadata; None where none is."""
    if importlib.util.find_spec("fsl_mrs") is None:
        return None
    try:
        return metadata.version("fsl_mrs")
    except metadata.PackageNotFoundError:
        return "of unknown version"


def _write():
    """Path of a new start-up file in the first folder that can be written."""
    failures = []
    for folder in folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / FILE).write_text(LINE, encoding="utf-8")
            return folder / FILE
        except OSError as exc:
            failures.append(f"{folder} ({exc.strerror})")
    raise OutputError(f"The start-up line cannot be written to {', '.join(failures)}: use an environment of your own.")


def _enter(path):
    """Enter the start-up file into the installed distribution's list of files, unless it stands there."""
    record = _record(path)
    if record is not None:
        text = record.read_text(encoding="utf-8")
        if not any(line.split(",")[0] == FILE for line in text.splitlines()):
            record.write_text(f"{text.rstrip()}\n{FILE},,\n", encoding="utf-8")


def _record(path):
    """Path of the list of files of the distribution installed in the folder of a start-up file, None without one."""
    try:
        files = metadata.distribution("fsl_mrs_dl").files or ()
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        record = Path(file.locate())
        if record.name == "RECORD" and record.parent.parent == path.parent and record.is_file():
            return record
    return None
