"""What a training shows: a progress bar with the time left, metrics as CSV and TensorBoard, learning curves."""

import csv
import importlib.util
import io
import time

import lightning
from lightning.pytorch import loggers
from tqdm import tqdm

from .work_folder import CURVES, METRICS

SHOW_S = 0.5
"""Time between two looks at the loss (s): a look makes a GPU wait."""

DRAW_S = 30.0
"""Least time between two drawings of the learning curves (s)."""


class Progress(lightning.Callback):
    """One bar over the whole training, with loss, error and the time left."""

    def __init__(self):
        self.bar, self.shown = None, 0.0

    def on_train_epoch_start(self, trainer, trainee):
        """Open the bar where the training stands, once."""
        if self.bar is not None or not trainer.is_global_zero:
            return
        plan = trainee.plan
        if plan.time_s:
            form = "{desc}{percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s{postfix}"
            self.bar = tqdm(total=plan.time_s, initial=trainee.elapsed_s, bar_format=form)
        else:
            total = plan.parts * trainee.steps_per_epoch
            self.bar = tqdm(total=total, initial=trainee.step, unit=" steps", mininterval=SHOW_S)
        self._describe(trainee)

    def on_train_batch_end(self, trainer, trainee, *_):
        """Move the bar, now and then."""
        if self.bar is None or time.monotonic() - self.shown < SHOW_S:
            return
        self.shown = time.monotonic()
        self._describe(trainee)

    def _describe(self, trainee):
        """Show epoch, loss and error."""
        plan = trainee.plan
        self.bar.set_description(f"epoch {min(trainee.epoch + 1, plan.parts)}/{plan.parts}", refresh=False)
        shown = {} if trainee.last_loss is None else {"loss": f"{float(trainee.last_loss):.4f}"}
        if trainee.history:
            shown["error"] = f"{trainee.history[-1]['error']:.4f}"
        self.bar.set_postfix(shown, refresh=False)
        now = min(trainee.clock.elapsed_s(), plan.time_s) if plan.time_s else trainee.step
        self.bar.update(now - self.bar.n)

    def on_train_end(self, trainer, trainee):
        """Close the bar."""
        if self.bar is not None:
            self._describe(trainee)
            self.bar.close()

    def on_exception(self, trainer, trainee, exception):
        """Close the bar, so that what is said next has its own line."""
        if self.bar is not None:
            self.bar.close()


class MetricsFile:
    """Writes the history as metrics.csv, whole after every epoch.

    Args:
        work: WorkFolder.
    """

    def __init__(self, work):
        self.work = work

    def __call__(self, history):
        """Write all epochs so far."""
        text = io.StringIO()
        writer = csv.DictWriter(text, history[-1], lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        self.work.write(METRICS, text.getvalue().encode())


class Curves:
    """Draws the learning curves: after the first epoch, then at most every `DRAW_S` seconds.

    Args:
        work: WorkFolder.
    """

    def __init__(self, work):
        self.work, self.drawn = work, float("-inf")

    def __call__(self, history):
        """Draw all epochs so far."""
        if time.monotonic() - self.drawn < DRAW_S:
            return
        self.work.write(CURVES, curves_png(history))
        self.drawn = time.monotonic()


def curves_png(history):
    """Loss, error and learning rate over the scans seen, as PNG bytes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    panels = figure.subplots(3, sharex=True, height_ratios=(2, 2, 1))
    scans = [row["scans"] for row in history]
    titles = ("training loss", "mean absolute error,\nheld-out scans", "learning rate")
    for panel, name, title in zip(panels, ("loss", "error", "learning_rate"), titles, strict=True):
        values = [row[name] for row in history]
        panel.plot(scans, values, marker="." if len(scans) < 60 else None)
        panel.set_ylabel(title)
        panel.grid(alpha=0.3)
        # The loss holds a likelihood of the expected errors, which may be below 0.
        if name == "error":
            panel.set_yscale("log")
    best = min(history, key=lambda row: row["error"])
    label = f"best: {best['error']:.4f}, epoch {best['epoch']}"
    panels[1].plot(best["scans"], best["error"], "o", color="C3", label=label)
    panels[1].legend(loc="upper right")
    panels[2].set_xlabel("scans seen")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


class Events:
    """Writes the newest epoch as a TensorBoard event.

    Args:
        folder: to write into.
        first: step from which on events of an earlier part of the training no longer count.
    """

    def __init__(self, folder, first=0):
        self.logger = loggers.TensorBoardLogger(folder, name="", version="", purge_step=first)

    def __call__(self, history):
        """Write the last row."""
        values = {name: value for name, value in history[-1].items() if name != "step"}
        self.logger.log_metrics(values, history[-1]["step"])
        self.logger.save()


def tensorboard_is_there():
    """Whether TensorBoard's events can be written."""
    return any(importlib.util.find_spec(name) for name in ("tensorboard", "tensorboardX"))
