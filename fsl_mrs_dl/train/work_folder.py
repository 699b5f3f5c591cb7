"""The folder that a training works in: its settings and its checkpoints, each written whole or not at all."""

import io
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import torch

from ..config import read_json
from ..errors import ConfigError, OutputError

SETTINGS, LAST, BEST = "settings.json", "last.ckpt", "best.ckpt"
METRICS, CURVES, EVENTS = "metrics.csv", "learning_curves.png", "tensorboard"
"""Names of the files, and of the folder of TensorBoard's events."""

DAMAGED = (OSError, RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile)
"""What reading a damaged checkpoint raises, beside the refusal to unpickle."""


class WorkFolder:
    """Settings, checkpoints and metrics of one training.

    Args:
        path: of the folder.
        settings: JSON-like dict of all that decides what the training gives.
    """

    def __init__(self, path, settings):
        self.path = Path(path)
        # As they will be read again: tuples become lists, numbers what JSON makes of them.
        self.settings = json.loads(json.dumps(settings))

    def check(self, resume=False, overwrite=False):
        """Refuse to lose or to mix up what an earlier training left here; changes nothing.

        Raises:
            OutputError: there is an earlier training and it is neither to be resumed nor overwritten.
            ConfigError: there is nothing to resume, or it was begun with other settings.
        """
        if resume:
            self._check_same()
        elif self.path.exists() and not overwrite:
            raise OutputError(
                f"{self.path} was left by an interrupted training: give --resume to continue it, or --overwrite to "
                "begin anew."
            )

    def _check_same(self):
        """Refuse to resume with other settings."""
        if not self.path.is_dir():
            raise ConfigError(f"There is nothing to resume: {self.path} does not exist; leave --resume out.")
        found = read_json(self.path / SETTINGS, "the settings of a training")
        if not isinstance(found, dict):
            raise ConfigError(f"{self.path / SETTINGS}: not the settings of a training; begin anew with --overwrite.")
        difference = first_difference(found, self.settings)
        if difference:
            name, old, new = difference
            raise ConfigError(
                f"The training in {self.path} was begun with another {name} ({_short(old)}, not {_short(new)}): give "
                "the same command with --resume, or --overwrite to begin anew."
            )

    def open(self, resume=False):
        """Make the folder, empty unless an earlier training is resumed.

        Raises:
            OutputError: it cannot be written.
        """
        if resume:
            return
        try:
            if self.path.exists():
                shutil.rmtree(self.path)
            self.path.mkdir(parents=True)
        except OSError as exc:
            raise OutputError(f"{self.path} cannot be made ({exc.strerror}); choose another --output.") from exc
        self.write(SETTINGS, (json.dumps(self.settings, indent=1) + "\n").encode())

    def write(self, name, content):
        """Write a file of the folder so that it is the old one or the new one, whatever happens.

        Raises:
            OutputError: it cannot be written; the old file stays.
        """
        path, part = self.path / name, self.path / f"{name}.part"
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as exc:
            part.unlink(missing_ok=True)
            raise OutputError(
                f"{path} cannot be written ({exc.strerror}): free space, then give the same command with --resume; the "
                "last checkpoint is whole."
            ) from exc

    def write_state(self, name, state):
        """Write tensors, numbers, texts, and dicts and lists of them."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.write(name, buffer.getvalue())

    def read_state(self, name):
        """What `write_state` wrote, on the processor; None where there is no such file.

        torch's loader refuses everything but tensors, numbers, texts and containers of them: no code is run.

        Raises:
            ConfigError: the file is damaged or something else.
        """
        path = self.path / name
        if not path.is_file():
            return None
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (*DAMAGED, pickle.UnpicklingError) as exc:
            raise ConfigError(f"{path} is damaged or no checkpoint; begin anew with --overwrite.") from exc

    def results(self):
        """What goes into the model's folder: metrics, learning curves, and events where there are any."""
        return [self.path / name for name in (METRICS, CURVES, EVENTS) if (self.path / name).exists()]


def first_difference(old, new, name=""):
    """The first setting in which two JSON-like dicts differ: (name, old value, new value); None where there is none."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            found = first_difference(old.get(key), new.get(key), f"{name} {key}".strip())
            if found:
                return found
        return None
    return None if old == new else (name, old, new)


def _short(value):
    """A value as a text that fits in a message."""
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
