"""Output folders and files that appear whole or not at all."""

import contextlib
import os
import shutil
import uuid
from pathlib import Path

from .errors import OutputError


def check_free(path, overwrite=False, inputs=()):
    """The absolute path of an output folder, once it is known that it may be made or replaced.

    Long commands call it before their work; `whole_folder` does so itself.

    Args:
        path: output folder.
        overwrite: whether an existing folder may be replaced.
        inputs: paths (or None) that the command reads and that must not be replaced with the folder.

    Raises:
        OutputError: the path exists and may not be replaced, or replacing it would remove an input.
    """
    target = Path(os.path.realpath(Path(path).expanduser()))
    for given in filter(None, inputs):
        source = Path(os.path.realpath(Path(given).expanduser()))
        if target == source or target in source.parents:
            raise OutputError(f"The output folder {target} holds the input {given}; choose another name.")
    if not os.path.lexists(target):
        return target
    if not target.is_dir():
        raise OutputError(f"The output must be a folder, but {target} is a file; choose another name.")
    if not overwrite:
        raise OutputError(
            f"The output folder {target} exists; choose another name, or give --overwrite to replace it."
        )
    # Replacing removes what is there: never the folder someone stands in, or a home, by a slip of the keyboard.
    for kept in (Path.cwd(), Path.home()):
        if target == kept or target in kept.parents:
            raise OutputError(f"The output folder {target} holds {kept} and is not replaced; choose another name.")
    return target


@contextlib.contextmanager
def whole_folder(path, overwrite=False):
    """Context in which a folder is written; it gets its name only when the block ends without an error.

    The block receives an empty folder beside the wanted one, at the same depth, so relative links made
    in it stay right. Whatever ends the block early, nothing is left behind and an older folder of that
    name stays as it was.

    Args:
        path: folder to make; missing parents are made too.
        overwrite: whether an existing folder is replaced.

    Yields:
        Path of the temporary folder to write into.

    Raises:
        OutputError: the path exists (and may not be replaced) or cannot be written.
    """
    target = check_free(path, overwrite)
    made_parents = _make_parents(target)
    part = target.parent / f".fsl_mrs_dl_{uuid.uuid4().hex[:12]}"
    try:
        try:
            part.mkdir()
        except OSError as exc:
            raise OutputError(
                f"The output folder {target} cannot be made ({exc.strerror}); choose one where you may write."
            ) from exc
        try:
            yield part
        except OSError as exc:
            raise OutputError(f"{target} cannot be written ({exc}); free space or choose another place.") from exc
        _put_in_place(part, target, overwrite)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        for parent in made_parents:
            # Only parents that are still empty go; rmdir refuses the others.
            with contextlib.suppress(OSError):
                parent.rmdir()


def write_whole(path, text):
    """Write a text file in a folder that exists; whatever ends it early, an older file stays as it was.

    Args:
        path: Path of the file, which is replaced where it exists.
        text: its content.

    Raises:
        OSError: it cannot be written.
    """
    part = path.with_name(f".fsl_mrs_dl_{uuid.uuid4().hex[:12]}")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _make_parents(target):
    """Make the missing parents of a folder; returns them, deepest first.

    Raises:
        OutputError: a parent cannot be made, or is a file.
    """
    missing = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        for parent in missing:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise OutputError(
            f"The folder {target.parent} for the output cannot be made ({exc.strerror}); "
            "choose one where you may write."
        ) from exc
    return missing


def _put_in_place(part, target, overwrite):
    """Rename the finished folder to its name, and remove the older folder if that may be replaced.

    Raises:
        OutputError: the name is taken meanwhile, or the folder cannot be renamed.
    """
    check_free(target, overwrite)
    older = None
    try:
        if target.exists():
            older = target.parent / f"{part.name}_old"
            target.rename(older)
        part.rename(target)
    except OSError as exc:
        if older is not None and older.exists():
            older.rename(target)
        raise OutputError(f"The finished output cannot be renamed to {target} ({exc.strerror}).") from exc
    if older is not None:
        shutil.rmtree(older, ignore_errors=True)
