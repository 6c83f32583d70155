"""Turn the public table of the Canadian study into patients.csv, labs.csv and events.csv.

    python models/psa_intermittent/prepare.py psa_intermittent.csv FOLDER

Time is in days from a man's first row. PSA below the assay's limit of 0.1 ng/mL becomes "< 0.1"; treatment is what the
column on_treatment says: androgen deprivation or pause from the first visit that bears the new mark, a lab of that
visit being drawn before. The table itself is not part of this repository.
"""

import argparse
from pathlib import Path

import pandas as pd

LIMIT = 0.1  # ng/mL, about the assay's limit
NAMES = {1: "androgen_deprivation", 0: "pause"}


def tables(raw: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """patients, labs and events of docs/files.md from the columns of the study's table."""
    raw = raw.drop(columns="patient").assign(time=raw["day_abs"] - raw.groupby("file_id")["day_abs"].transform("min"))
    raw = raw.sort_values(["file_id", "time"], kind="stable").rename(columns={"file_id": "patient"})
    found = []
    for output, column, unit in (("psa", "psa_ng_ml", "ng/mL"), ("testosterone", "testosterone", "nmol/L")):
        of = raw.dropna(subset=[column])
        value = of[column].where((of[column] >= LIMIT) | (output != "psa"), LIMIT)
        below = (of[column] < LIMIT) & (output == "psa")
        found.append(
            pd.DataFrame(
                {"patient": of["patient"], "time": of["time"], "output": output, "value": value, "unit": unit}
            ).assign(comparator=below.map({True: "<", False: ""}))
        )
    before = raw.groupby("patient")["on_treatment"].shift()
    switched = raw[(raw["on_treatment"] != before) & ~((before.isna()) & (raw["on_treatment"] == 0))]
    events = pd.DataFrame(
        {
            "patient": switched["patient"],
            "time": switched["time"],
            "event": "line_of_therapy",
            "value": switched["on_treatment"].map(NAMES),
        }
    )
    patients = pd.DataFrame({"patient": raw["patient"].unique()})
    return {"patients": patients, "labs": pd.concat(found, ignore_index=True), "events": events}


def write(source: Path, folder: Path) -> None:
    """Read the study's table and write the three files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables(pd.read_csv(source)).items():
        table.to_csv(folder / f"{name}.csv", index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    write(given.source, given.folder)
