"""Do two devices give one posterior? The same simulated patients, the same seeds, a folder of results per device.

    JAX_PLATFORMS=cpu  bayestwin verify-updates --model theophylline --patients-simulated 18 --particles 16000 --out A
    JAX_PLATFORMS=cuda bayestwin verify-updates --model theophylline --patients-simulated 18 --particles 16000 --out B
    python tests/validation/devices.py "one CPU core=A" "H200=B" [--write docs/validation/devices.md]

Random numbers are those of the seed on every device, so that differences are those of rounding, unless it turns an
acceptance or a resampling round. Exit code 4 where a mean, an SD or a verdict differs by more than ALLOWED of its
printed Monte Carlo error. Patients that one folder lacks are left out and counted.
"""

import argparse
import itertools
import json
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

ROWS = ["patient", "quantity", "kind", "statistic"]
ALLOWED = 0.01  # of the Monte Carlo error


def kept(folder: Path) -> pd.DataFrame:
    """Rows of every patient in a folder of `verify-updates`."""
    return pd.DataFrame(
        [row for path in sorted(folder.glob("SIM-*.json")) for row in json.loads(path.read_text()).get("rows", ())]
    )


def same_settings(folders) -> dict:
    """The settings that all folders say; ends the program where two differ."""
    said = {name: json.loads((folder / "settings.json").read_text()) for name, folder in folders.items()}
    first = next(iter(said.values()))
    for name, settings in said.items():
        # draws of a model's priors are made on the device too, and differ by rounding
        other = sorted(k for k in first | settings if first.get(k) != settings.get(k) and k != "population_hash")
        if other:
            sys.exit(f"{name} was made with another {other[0]}: {settings.get(other[0])}, not {first.get(other[0])}.")
    return first


def compared(a: pd.DataFrame, b: pd.DataFrame) -> dict:
    """Largest differences between two folders, in units of the printed errors."""
    both = a.merge(b, on=ROWS, suffixes=("", "_b"), validate="one_to_one")
    if both.empty:
        sys.exit("No patient stands in both folders.")
    twin = (both["twin"] - both["twin_b"]).abs() / both["monte_carlo_error"]
    reference = (both["reference"] - both["reference_b"]).abs() / both["reference_error"]
    return {
        "patients": both["patient"].nunique(),
        "left out": len(set(a["patient"]) ^ set(b["patient"])),
        "quantities": len(both),
        "largest difference of a twin": twin.max(),
        "of a reference": reference.max(),
        "same verdict": np.mean(both["verdict"] == both["verdict_b"]),
    }


def page(folders, settings, table, seconds) -> str:
    """The page in docs/validation/."""
    rows = "\n".join(
        f"| {pair} | {t['patients']} | {t['quantities']} | {t['largest difference of a twin']:.1e} | "
        f"{t['of a reference']:.1e} | {t['same verdict']:.0%} |"
        for pair, t in table.items()
    )
    times = "\n".join(f"| {name} | {s[0]:.1f} | {s[1]:.1f} |" for name, s in seconds.items())
    return f"""# One posterior on every device

Made by `tests/validation/devices.py` on {date.today()}; the commands stand at its top. Model {settings["model"]}, {settings["particles"]} particles in {settings["islands"]} islands, {settings["visits"]} visits, references of {settings["reference_particles"]}; the same patients and seeds on every device.

| devices | patients | means, SDs and forecasts | largest difference of a twin, in Monte Carlo errors | of a reference | same verdict |
|---|---|---|---|---|---|
{rows}

| device | median seconds of a patient's updates | of a reference |
|---|---|---|
{times}
"""  # noqa: E501


def main():
    """Compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    named = [text.partition("=") for text in given.folders]
    if len(named) < 2 or any(not folder for _, _, folder in named):
        parser.error("name two folders or more, each as NAME=FOLDER")
    folders = {name: Path(folder) for name, _, folder in named}
    settings = same_settings(folders)
    found = {name: kept(folder) for name, folder in folders.items()}
    table = {f"{a}, {b}": compared(found[a], found[b]) for a, b in itertools.combinations(folders, 2)}
    shared = set.intersection(*(set(rows["patient"]) for rows in found.values()))
    of = ["seconds", "reference_seconds"]
    seconds = {
        name: tuple(rows[rows["patient"].isin(shared)].groupby("patient")[of].first().median())
        for name, rows in found.items()
    }
    print(pd.DataFrame(table).T.to_string(), pd.DataFrame(seconds, index=of).T.to_string(), sep="\n")
    if given.write:
        given.write.write_text(page(folders, settings, table, seconds))
    equal = all(
        max(t["largest difference of a twin"], t["of a reference"]) <= ALLOWED and t["same verdict"] == 1
        for t in table.values()
    )
    sys.exit(0 if equal else 4)


if __name__ == "__main__":
    main()
