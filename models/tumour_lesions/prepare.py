"""Turn the public table of target lesions into patients.csv, labs.csv and events.csv.

    python models/tumour_lesions/prepare.py tumour_lesions.csv FOLDER

Columns read: Pt_hashID, Study_Arm, T_days, Lesion_diam (mm). Time is in days from the first dose (day 1 in trials that
have no day 0), the baseline scan lies before it. A diameter under 2 mm, complete resolution being written as 0, becomes
"< 2"; a row that stands twice is kept once. Treatment is the arm's: atezolizumab or docetaxel from the first dose on.
The columns `response` and `readings` look into the patient's future and are not used. The table itself is not part of
this repository.

Source of table and arms: Ghaffari Laleh et al. (2022), PLoS Comput Biol 18:e1009822.
"""

import argparse
from pathlib import Path

import pandas as pd

LIMIT = 2.0  # mm: smaller is not told from nothing
FIRST_DOSE = 1.0  # day
NEEDED = ("Pt_hashID", "Study_Arm", "T_days", "Lesion_diam")
# arms: 1 FIR, 2 POPLAR, 3 BIRCH, 4 OAK, 5 IMvigor210; the randomised ones have docetaxel first
ARMS = {
    f"Study_{study}_Arm_{arm}": "atezolizumab"
    for study, arms in {1: 3, 2: 2, 3: 6, 4: 2, 5: 1}.items()
    for arm in range(1, arms + 1)
} | {"Study_2_Arm_1": "docetaxel", "Study_4_Arm_1": "docetaxel"}


def tables(raw: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """patients, labs and events of docs/files.md from the study's table.

    Raises
    ------
    ValueError      a column is missing, an arm unknown, a diameter no number or negative, a patient in two arms
    """
    raw = checked(raw).drop_duplicates(["patient", "time", "diameter"])
    raw = raw.sort_values(["patient", "time"], kind="stable").reset_index(drop=True)
    below = raw["diameter"] < LIMIT
    labs = pd.DataFrame(
        {
            "patient": raw["patient"],
            "time": raw["time"],
            "output": "diameter",
            "value": raw["diameter"].where(~below, LIMIT),
            "unit": "mm",
            "comparator": below.map({True: "<", False: ""}),
        }
    )
    patients = raw.drop_duplicates("patient")[["patient", "arm"]]
    patients = patients.assign(study=patients["arm"].str.extract(r"^(Study_\d+)", expand=False))
    events = pd.DataFrame(
        {
            "patient": patients["patient"],
            "time": FIRST_DOSE,
            "event": "line_of_therapy",
            "value": patients["arm"].map(ARMS),
        }
    )
    return {"patients": patients, "labs": labs, "events": events}


def checked(raw: pd.DataFrame) -> pd.DataFrame:
    """The columns that are used, under their names here; ValueError where they cannot be."""
    missing = [name for name in NEEDED if name not in raw.columns]
    if missing:
        raise ValueError(f"column {missing[0]} is missing; needed are {', '.join(NEEDED)}")
    found = raw[list(NEEDED)].set_axis(["patient", "arm", "time", "diameter"], axis=1)
    unknown = sorted(set(found["arm"].astype(str)) - set(ARMS))
    if unknown:
        raise ValueError(f"arm {unknown[0]} is not known, so neither is its treatment; known are {', '.join(ARMS)}")
    for column in ("time", "diameter"):
        number = pd.to_numeric(found[column], errors="coerce")
        wrong = number.isna() | ((number < 0) & (column == "diameter"))
        if wrong.any():
            row, value = int(wrong.to_numpy().argmax()), found[column][wrong].iloc[0]
            raise ValueError(f"data row {row + 1}: {column} is {value!r}, expected a number; leave such rows out")
        found[column] = number
    arms = found.groupby("patient")["arm"].nunique()
    if (arms > 1).any():
        raise ValueError(f"patient {arms.index[arms > 1][0]} stands in two arms; give each patient one")
    return found


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
