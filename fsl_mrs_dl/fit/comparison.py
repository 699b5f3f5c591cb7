"""The values of another fit beside the network's."""

import csv
from dataclasses import dataclass

from .result import cells


@dataclass(frozen=True, eq=False)
class Comparison:
    """What another fit finds in the spectra of a scan.

    Attributes:
        name: what tables and files call it, such as "newton".
        title: of the fit and its settings, in words.
        values: {spectrum ("off", "diff" or "single"): {metabolite: (concentration, Cramer-Rao bound)}}, both relative
            to the largest concentration, of edit-off where there are two spectra. A metabolite that a spectrum does
            not show is not in it.
        failures: {spectrum: why it has no values}, one line each.
    """

    name: str
    title: str
    values: dict
    failures: dict

    @property
    def spectra(self):
        """Spectra in the order of the tables, those that failed included."""
        return [key for key in ("off", "diff", "single") if key in self.values or key in self.failures]

    def write(self, folder, result):
        """Write compare_NAME.csv, a row for each spectrum and metabolite of a Result, into a folder."""
        network = cells(result.concentration_columns()[0])
        with (folder / f"compare_{self.name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("metabolite", "spectrum", "network", self.name, f"{self.name}_crlb", "failure"))
            for key in self.spectra:
                for name, own in zip(result.names, network):
                    other = self.values.get(key, {}).get(name, ("", ""))
                    writer.writerow((name, key, own, *other, self.failures.get(key, "")))
