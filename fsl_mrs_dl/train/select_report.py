"""What a model selection found: tables, plots and the best configuration as files."""

import csv
import json

from matplotlib.figure import Figure

SHOWN = 10
"""Trials in the Markdown table."""


def front(trials):
    """The complete trials that no other beats in both error and cost, cheapest first."""
    complete = sorted((t for t in trials if t.state == "complete"), key=lambda trial: (trial.mflop, trial.error))
    kept = []
    for trial in complete:
        if not kept or trial.error < kept[-1].error:
            kept.append(trial)
    return kept


def best(trials):
    """The complete trial of the smallest error."""
    return min((trial for trial in trials if trial.state == "complete"), key=lambda trial: trial.error)


def write_report(folder, trials, importances, settings, command):
    """Write the files of a model selection.

    Args:
        folder: existing folder to write into.
        trials: list of study.Trial, of which at least one is complete.
        importances: {parameter: share}.
        settings: of the study, JSON-like.
        command: that trains a model with the best configuration.
    """
    (folder / "best.json").write_text(json.dumps(best(trials).options, indent=1) + "\n", encoding="utf-8")
    with (folder / "trials.csv").open("w", newline="", encoding="utf-8") as file:
        _write_rows(file, trials)
    (folder / "selection.md").write_text(_page(trials, importances, settings, command), encoding="utf-8")
    for name, draw in (("history", _draw_history), ("front", _draw_front)):
        _figure(draw, trials).savefig(folder / f"{name}.png", dpi=120)
    _figure(_draw_importances, importances).savefig(folder / "importances.png", dpi=120)


def _write_rows(file, trials):
    """All trials as CSV: what came out, then the point that was searched."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.errors))
    parameters = list(dict.fromkeys(name for trial in trials for name in trial.parameters))
    writer = csv.writer(file, lineterminator="\n")
    header = ["trial", "state", "error", *(f"error_{name}" for name in names), "mflop", "seconds"]
    writer.writerow([*header, *parameters, "failure"])
    for trial in trials:
        outcome = [trial.number, trial.state, trial.error, *(trial.errors.get(name) for name in names)]
        point = [trial.parameters.get(name) for name in parameters]
        writer.writerow([*outcome, trial.mflop, round(trial.seconds, 1), *point, trial.failure])


def _page(trials, importances, settings, command):
    """The outcome as Markdown."""
    counts = {state: sum(trial.state == state for trial in trials) for state in ("complete", "pruned", "failed")}
    parameters = list(best(trials).parameters)
    ranked = sorted((trial for trial in trials if trial.state == "complete"), key=lambda trial: trial.error)
    on_front = {trial.number for trial in front(trials)}
    lines = [
        f"# Model selection: {settings['network']}",
        "",
        f"{len(trials)} trials: {counts['complete']} complete, {counts['pruned']} stopped early, {counts['failed']} "
        f"failed. Recipe {settings['recipe']['name']}, {settings['number']} scans, {settings['epochs']} passes, "
        f"seed {settings['seed']}. Errors are mean absolute errors of concentrations relative to the largest, on "
        + (f"{settings['folds']} held-out parts in turn." if settings["folds"] else "a held-out fifth of the scans."),
        "",
        "The best configuration is `best.json`. To train with it:",
        "",
        "```",
        command,
        "```",
        "",
        "An asterisk marks trials that no other beats in both error and cost.",
        "",
        "| trial | error | MFLOP per scan | " + " | ".join(parameters) + " |",
        "|---" * (3 + len(parameters)) + "|",
    ]
    shown = ranked[:SHOWN] + [trial for trial in ranked[SHOWN:] if trial.number in on_front]
    for trial in shown:
        star = "*" if trial.number in on_front else ""
        values = [f"{trial.number}{star}", f"{trial.error:.4f}", f"{trial.mflop:.2f}"]
        values += [_short(trial.parameters.get(name)) for name in parameters]
        lines.append("| " + " | ".join(values) + " |")
    lines += ["", "| parameter | importance |", "|---|---|"]
    lines += [f"| {name} | {share:.2f} |" for name, share in importances.items()]
    failed = [trial for trial in trials if trial.failure]
    if failed:
        lines += ["", "Failed trials:", ""] + [f"- trial {trial.number}: {trial.failure}" for trial in failed]
    return "\n".join(lines) + "\n"


def _short(value):
    """A parameter's value in a table."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _figure(draw, content):
    """A figure with one panel, drawn."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    panel = figure.subplots()
    draw(panel, content)
    panel.grid(alpha=0.3)
    for axis in (panel.xaxis, panel.yaxis):
        if axis.get_scale() == "log":
            # Plain numbers: errors and costs often span less than a factor of ten.
            axis.set_major_formatter("{x:.3g}")
            axis.set_minor_formatter("{x:.3g}")
    return figure


def _draw_history(panel, trials):
    """Error of every complete trial, and the best so far."""
    complete = [trial for trial in trials if trial.state == "complete"]
    numbers, errors = [trial.number for trial in complete], [trial.error for trial in complete]
    panel.plot(numbers, errors, "o", label="complete")
    panel.step(numbers, [min(errors[: k + 1]) for k in range(len(errors))], where="post", label="best so far")
    for state, colour, label in (("pruned", "0.6", "stopped early"), ("failed", "C3", "failed")):
        ends = [trial.number for trial in trials if trial.state == state]
        if ends:
            panel.plot(ends, [max(errors)] * len(ends), "x", color=colour, label=label)
    panel.set(xlabel="trial", ylabel="mean absolute error, held-out scans", yscale="log")
    panel.legend()


def _draw_front(panel, trials):
    """Error against cost, with the trials that no other beats in both."""
    complete = [trial for trial in trials if trial.state == "complete"]
    panel.plot([trial.mflop for trial in complete], [trial.error for trial in complete], "o", color="0.6")
    kept = front(trials)
    panel.plot([trial.mflop for trial in kept], [trial.error for trial in kept], "o-", color="C0", label="front")
    for trial in kept:
        panel.annotate(str(trial.number), (trial.mflop, trial.error), textcoords="offset points", xytext=(4, 4))
    panel.set(xlabel="MFLOP per scan", ylabel="mean absolute error, held-out scans", xscale="log", yscale="log")
    panel.legend()


def _draw_importances(panel, importances):
    """Importances as bars, largest on top."""
    names = list(importances)[::-1]
    panel.barh(names, [importances[name] for name in names])
    panel.set(xlabel="share in the spread of the errors (PED-ANOVA)")
