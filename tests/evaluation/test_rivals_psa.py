"""Rivals on 33 real men under intermittent androgen deprivation: the published figures, and who forecasts PSA best.

    python tests/evaluation/test_rivals_psa.py        prints the table of the cross-validation

The figures published with the data set (its README) belong to steps between adjacent rows of the table that both hold a
PSA, in the phase of the later row: 720 steps in pauses, 426 on treatment. A row without a PSA breaks a man's chain
there; the twin's protocol does not break it, and counts all 1560.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))

from rival_models import OFF, ON, course, marker_model

from bayestwin.evaluation import panels
from bayestwin.evaluation.rivals import fit_rivals, rival_rows
from bayestwin.records import Cohort

FLOOR, PHASES = 0.1, {0: OFF, 1: ON}
PUBLISHED = {OFF: (0.593, 0.301), ON: (0.667, 0.333)}  # RMSE, CRPS on ln PSA


@pytest.fixture(scope="module")
def table(shared_data):
    path = shared_data / "psa_intermittent" / "psa_intermittent.csv"
    if not path.is_file():
        pytest.skip("psa_intermittent.csv is absent")
    return read_table(path)


def read_table(path):
    import pandas as pd

    raw = pd.read_csv(path).sort_values(["file_id", "day_abs"], kind="stable")
    return raw.assign(time=raw["day_abs"] - raw.groupby("file_id")["day_abs"].transform("min"))


def men(table, *, early: float = 0.0):
    """Records of each man in order of patient number; a switch is `early` days before the first row that bears it."""
    found = []
    for _, rows in sorted(table.groupby("file_id"), key=lambda man: man[1]["patient"].iloc[0]):
        found.append(record_of(rows["file_id"].iloc[0], rows, early))
    return found


def unbroken_runs(table):
    """The same with one record per run of rows that all hold a PSA."""
    missing = table["psa_ng_ml"].isna()
    run = missing.groupby(table["file_id"]).cumsum()
    named = table[~missing].assign(key=table["file_id"] + "-" + run.astype(str))
    return [record_of(key, rows, 0.5) for key, rows in named.groupby("key")]


def record_of(key, rows, early):
    switched = rows[rows["on_treatment"] != rows["on_treatment"].shift()]
    starts = [(time - early, PHASES[phase]) for time, phase in zip(switched["time"], switched["on_treatment"])]
    seen = rows.dropna(subset="psa_ng_ml")
    return course(key, np.maximum(seen["psa_ng_ml"], FLOOR), list(seen["time"]), starts)


def test_the_published_figures_of_the_last_value_are_reproduced(table):
    runs = Cohort(tuple(unbroken_runs(table)))
    fitted = fit_rivals(marker_model(), None, runs, names=("last_value",))["last_value"]
    found = {OFF: [], ON: []}
    for record in runs:
        for panel in panels(record)[1:]:
            (expected,) = fitted.predict(panel)
            in_force = [e.value for e in record.events if e.time < expected.time][-1]
            found[in_force].append((np.log(expected.value) - expected.mean, expected.crps))
    assert {phase: len(rows) for phase, rows in found.items()} == {OFF: 720, ON: 426}
    for phase, rows in found.items():
        error, crps = np.array(rows).T
        assert np.sqrt(np.mean(error**2)) == pytest.approx(PUBLISHED[phase][0], abs=0.0005)
        assert crps.mean() == pytest.approx(PUBLISHED[phase][1], abs=0.0005)


def test_the_same_figures_by_hand(table):
    y = np.log(table["psa_ng_ml"].clip(lower=FLOOR))
    step = (y - y.groupby(table["file_id"]).shift()).dropna()
    for code, phase in PHASES.items():
        own = step[table.loc[step.index, "on_treatment"] == code]
        sd = own.std()
        z = own / sd
        crps = sd * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
        assert np.sqrt((own**2).mean()) == pytest.approx(PUBLISHED[phase][0], abs=0.0005)
        assert crps.mean() == pytest.approx(PUBLISHED[phase][1], abs=0.0005)


def test_steps_are_those_of_the_whole_course_and_not_only_of_unbroken_runs(table):
    fitted = fit_rivals(marker_model(), None, Cohort(tuple(men(table, early=0.5))), names=("last_value",))["last_value"]
    y = np.log(table.dropna(subset="psa_ng_ml").assign(psa=lambda t: t["psa_ng_ml"].clip(lower=FLOOR))["psa"])
    own = table.loc[y.index]
    step = (y - y.groupby(own["file_id"]).shift()).dropna()
    assert len(step) == 1560
    for code, phase in PHASES.items():
        sd = step[own.loc[step.index, "on_treatment"] == code].std()
        assert fitted.sizes["psa", phase].sd[0] == pytest.approx(sd)


def cross_validate(table, names=("last_value", "gaussian_process")):
    """Rows of predictions.csv of every man forecast by rivals trained on the other three folds."""
    model, records = marker_model(), men(table)
    phases = {
        (man, float(time)): PHASES[phase]
        for man, time, phase in zip(table["file_id"], table["time"], table["on_treatment"])
    }
    rows = []
    for fold in range(4):
        training = Cohort(tuple(r for k, r in enumerate(records) if k % 4 != fold))
        for name, fitted in fit_rivals(model, None, training, names=names).items():
            for record in records[fold::4]:
                for row in rival_rows(fitted, record, random_seed=1):
                    phase = phases[record.key, row["time"]]
                    rows.append(row | {"rival": name, "phase": phase, "error": np.log(row["observed"]) - row["mean"]})
    return rows


def summary(rows):
    """RMSE, CRPS, log score and coverage of the 80 % interval by rival and phase, of labs with an earlier one."""
    import pandas as pd

    rows = pd.DataFrame(rows).query("n_seen > 0").assign(square=lambda r: r["error"] ** 2)
    rows["covered"] = ((rows["pit"] - 0.5).abs() < 0.4).astype(float)
    found = rows.groupby(["rival", "phase"])[["square", "crps", "log_score", "covered"]].mean()
    found["rmse"] = np.sqrt(found.pop("square"))
    return found.assign(labs=rows.groupby(["rival", "phase"]).size())


@pytest.mark.validate
def test_the_gaussian_process_beats_the_last_value_in_both_phases(table):
    found = summary(cross_validate(table))
    for phase in PHASES.values():
        assert found.loc[("gaussian_process", phase), "crps"] < 0.8 * found.loc[("last_value", phase), "crps"]


if __name__ == "__main__":
    folder = Path(os.environ.get("BAYESTWIN_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    print(summary(cross_validate(read_table(folder / "psa_intermittent" / "psa_intermittent.csv"))).round(3))
