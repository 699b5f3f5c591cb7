"""report.html: one page that holds all it needs, with the values, the spectra and the model card."""

import math
from datetime import datetime, timezone
from itertools import repeat
from pathlib import Path

from .._version import __version__
from ..model.card import versions
from .fsl_tables import percent_sd
from .predict import BROADENED
from .spectrum_svg import spectrum_svg

TEMPLATE = Path(__file__).with_name("report.html")

TITLES = {"off": "Edit-off", "on": "Edit-on", "diff": "Difference (edit-on − edit-off)", "single": "Spectrum"}
"""Key of a fit -> its heading."""

_SHORT = {"off": "edit-off", "diff": "difference", "single": ""}
_CRLB_SHOWN = 100.0  # percent; above, a value is undetermined by the spectrum alone


def write_report(path, result, voxels=None):
    """Write the page of a Result.

    Args:
        path: Path of the file.
        result: Result; of imaging that of the mean spectrum.
        voxels: of imaging, what the trust flag says of the voxels, in words; None for a scan.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    card = result.model.card
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        scan=result.scan.name,
        facts=_facts(result),
        notes=result.scan.notes,
        trust=result.trust,
        broadened=BROADENED if BROADENED in result.scan.notes else None,
        voxels=voxels,
        water=result.water,
        columns=[_SHORT[key] for key in result.contents],
        rows=_rows(result),
        calibrated=result.uncertainty is not None,
        comparison=result.comparison and _comparison(result),
        spectra=[
            {"title": TITLES[key], "svg": Markup(spectrum_svg(fit, TITLES[key])), "facts": _fit_facts(result, key)}
            for key, fit in result.fits.items()
        ],
        references={key: "+".join(content.internal_ref) for key, content in result.contents.items()},
        range=result.first_fit.ppm_limits,
        model=result.model.name,
        settings=result.model.settings,
        corrected=result.model.corrected,
        adapted=result.model.adapted,
        error_bars=result.model.error_bars,
        refine=result.model.refine,
        bars_refine=result.model.bars_refine,
        card=card,
        card_parts=[(title, _flat(card[key])) for title, key in _CARD_PARTS if card.get(key)],
        errors=_errors(card),
        versions={"fsl_mrs_dl": __version__, **versions()},
        weights=result.model.weights_sha256,
        fingerprint=result.basis.fingerprint(),
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    )
    path.write_text(page, encoding="utf-8")


_CARD_PARTS = (("Training", "training"), ("Basis set", "basis"), ("Versions at training", "versions"))


def _facts(result):
    """What the page states about the scan, label -> text."""
    scan = result.scan
    facts = {
        "Files": ", ".join(path.name for path in scan.paths) or "none (given in Python)",
        "Spectra": ", ".join(condition.replace("_", "-") for condition in scan.conditions),
        "Frequency": f"{scan.centre_hz / 1e6:.3f} MHz ({scan.nucleus})",
        "Bandwidth and points": f"{1 / scan.dwell_s:.0f} Hz, {scan.points}",
    }
    if scan.echo_time_s is not None:
        facts["Echo time"] = f"{scan.echo_time_s * 1e3:.0f} ms"
    prediction = result.prediction
    facts["Estimated line broadening"] = (
        f"{prediction.lorentz_hz:.2f} Hz Lorentzian and {prediction.gauss_hz:.2f} Hz Gaussian beyond the basis set"
    )
    facts["Estimated shift and phase"] = f"{prediction.shift_hz:+.2f} Hz, {math.degrees(prediction.phase_rad):+.1f}°"
    return facts


def _rows(result):
    """Rows of the table of values: texts, with one group of three for each spectrum that has a folder."""
    table = zip(result.names, *result.concentration_columns())
    figures = {
        key: {
            name: triple
            for name, *triple in zip(
                result.names,
                percent_sd(result.fits[key].concentrations, result.fits[key].sds[: len(result.names)]),
                content.quality.snr,
                content.quality.fwhm_hz,
            )
        }
        for key, content in result.contents.items()
    }
    errors = zip(*result.uncertainty_columns().values()) if result.uncertainty is not None else repeat(())
    for (name, largest, total, raw, *absolute), error in zip(table, errors):
        groups = []
        for values in figures.values():
            percent, snr, width = values[name]
            shown = f"{percent:.1f} %" if percent < _CRLB_SHOWN else "not determined"
            groups += [shown, f"{snr:.1f}", f"{width:.1f}" if width else "–"]
        yield {
            "name": name,
            "largest": _text(largest, ".3f"),
            "bar": _text(100 * largest, ".0f", "0"),
            "sum": _text(total, ".3f"),
            "raw": _text(raw, "#.4g"),
            "absolute": [_text(value, ".3g") for value in absolute],
            "groups": groups,
            "errors": _error_texts(*error) if error else (),
        }


def _text(value, form, unknown="–"):
    """Text of a value in a format; that of an unknown one where it is NaN."""
    return unknown if math.isnan(value) else format(value, form)


def _comparison(result):
    """The table that shows another fit beside the network's: title, columns, rows and failures."""
    found = result.comparison
    names = {key: TITLES[key].split(" (")[0] for key in found.spectra}
    rows = []
    for index, (name, own) in enumerate(zip(result.names, result.concentration_columns()[0])):
        sd = math.nan if result.uncertainty is None else result.uncertainty.sd[index]
        error = "" if math.isnan(sd) else f" ± {sd:.3f}"
        groups = []
        for key in found.values:
            value, bound = found.values[key].get(name, (math.nan, math.nan))
            groups += ["–"] * 3 if math.isnan(value) else [f"{value:.3f}", _bound(value, bound), _signed(value - own)]
        rows.append({"name": name, "network": f"{_text(own, '.3f')}{error}", "groups": groups})
    return {
        "title": found.title,
        "two": result.scan.edited,
        "columns": ["Newton" if key == "single" else f"Newton, {names[key].lower()}" for key in found.values],
        "rows": rows,
        "failures": [(names[key], text) for key, text in found.failures.items()],
    }


def _signed(value):
    """Text of a difference, with a minus as long as the plus."""
    return _text(value, "+.3f").replace("-", "−")


def _bound(value, bound):
    """Text of a Cramer-Rao bound in percent of its value."""
    percent = 100 * bound / value if value > 0 else math.inf
    return f"{percent:.1f} %" if percent < _CRLB_SHOWN else "not determined"


def _error_texts(sd, low68, high68, low95, high95):
    """Texts of the cells on the errors of one concentration."""
    if math.isnan(sd):
        return ("not known",) * 3
    return f"{sd:.3f}", f"{low68:.3f} – {high68:.3f}", f"{low95:.3f} – {high95:.3f}"


def _fit_facts(result, key):
    """A line about the fit of one spectrum."""
    quality = result.qualities[key]
    return f"highest peak {quality.spectrum_snr:.0f} times the noise"


def _flat(part):
    """Entries of a part of the model card, nested ones as one text."""
    return {
        str(key): ", ".join(f"{name} {entry}" for name, entry in value.items()) if isinstance(value, dict) else value
        for key, value in part.items()
    }


def _errors(card):
    """Errors of a model card: names of the columns, and rows of (title, texts)."""
    errors = card.get("errors") or {}
    names = list(next(iter(errors.values()), {}))
    return {
        "names": names,
        "rows": [(title, [f"{values.get(name, math.nan):.4f}" for name in names]) for title, values in errors.items()],
    }
