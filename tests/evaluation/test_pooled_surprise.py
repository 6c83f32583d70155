"""Drift of a laboratory and swapped samples: found where they were put, not elsewhere."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from bayestwin.evaluation.pooled_surprise import pooled_shifts, surprise_rows, swapped_samples
from bayestwin.records import Lab, PatientRecord


def labs(n_patients=40, per=4, *, shift=0.0, which="north", seed=1, sd=0.3):
    """ln-normal labs of two laboratories as forecast, those of one moved by `shift`."""
    rng, rows = np.random.default_rng(seed), []
    for k in range(n_patients):
        for j in range(per):
            where, mean = ("north", "south")[(k + j) % 2], rng.normal(3.0, 1.0)
            y = mean + sd * rng.standard_normal() + (shift if where == which else 0.0)
            rows.append(
                {"patient": f"P-{k}", "lab_id": f"{k}-{j}", "output": "y", "time": float(j), "laboratory": where}
                | {"product": "", "observed": float(np.exp(y)), "scale": "ln", "mean": mean, "sd": sd}
                | {"pit": float(stats.norm.cdf((y - mean) / sd)), "batch": f"day {j}"}
            )
    return rows


def test_a_laboratory_that_reads_30_percent_high_is_named_with_its_factor():
    table = pooled_shifts(labs(shift=np.log(1.3)), by=("laboratory",), random_seed=1).set_index("laboratory")
    assert table.loc["north", "p_adjusted"] < 1e-4 and table.loc["south", "p_adjusted"] > 0.05
    assert table.loc["north", "ratio"] == pytest.approx(1.3, abs=0.1)
    assert np.exp(table.loc["north", "low"]) < 1.3 < np.exp(table.loc["north", "high"])
    assert table.loc["north", "labs"] == 80 and table.loc["north", "patients"] == 40


def test_where_nothing_is_wrong_a_group_is_named_as_rarely_as_the_level_says():
    """300 cohorts, two groups each, Holm: at most 5 in 100 cohorts with a group named (and not never tested)."""
    lowest = [
        pooled_shifts(labs(20, 2, seed=s), by=("laboratory",), random_seed=1)["p_adjusted"].min() for s in range(300)
    ]
    assert np.mean(np.array(lowest) < 0.05) < 0.09 and np.min(lowest) < 0.2


def test_the_interval_of_the_shift_covers_it_nine_times_in_ten():
    inside = []
    for seed in range(200):
        table = pooled_shifts(labs(25, 2, shift=0.2, seed=seed), by=("laboratory",), random_seed=1)
        row = table.set_index("laboratory").loc["north"]
        inside.append(row["low"] < 0.2 < row["high"])
    assert 0.84 < np.mean(inside) < 0.96


def test_patients_of_whom_the_mean_learns_nothing_leave_its_interval_alone():
    """SD 0: a count of which nothing but 0 was expected. Two tell, so that every fourth resample had no one."""
    rows = labs(4, 2, shift=0.2)
    few = [row for row in rows if row["patient"] in ("P-0", "P-1")]
    silent = [row | {"sd": 0.0} for row in rows if row["patient"] in ("P-2", "P-3")]
    ends = ["shift", "low", "high"]
    alone, both = (pooled_shifts(part, random_seed=1)[ends] for part in (few, few + silent))
    assert np.isfinite(both).all(axis=None) and both.equals(alone)


def test_a_corrected_lab_counts_with_the_value_that_stands():
    def lab(value, *beyond):
        return Lab("a", "y", 1.0, value, 0.0, *beyond)

    def expected(value, censoring="none", upper=None):
        return SimpleNamespace(
            **{"lab_id": "a", "time": 1.0, "output": "y", "value": value, "censoring": censoring, "scale": "ln"},
            **{"mean": 3.0, "sd": 0.3, "pit": 0.5, "alarm": "", "pit_range": None, "upper": upper},
            tenfold_power=0.6,
        )

    def twin(*surprises, now, beyond=()):
        record = PatientRecord("P-1", labs=(lab(now, *beyond),))
        return SimpleNamespace(record=record, key="P-1", history=[SimpleNamespace(surprise=[s]) for s in surprises])

    (row,) = surprise_rows(twin(expected(200.0), expected(20.0), now=20.0))
    assert row["observed"] == 20.0 and row["tenfold_power"] == 0.6
    assert surprise_rows(twin(expected(200.0), now=20.0)) == []  # rebuilt with the correction: never forecast
    narrow = expected(10.0, "interval", 16.0)
    assert surprise_rows(twin(narrow, now=10.0, beyond=("interval", 40.0))) == []
    (row,) = surprise_rows(twin(narrow, now=10.0, beyond=("interval", 16.0)))
    assert (row["observed"], row["observed_to"], row["limit_flag"]) == (10.0, 16.0, "interval")


def censored(rows, limit, seed=1):
    """The rows with what lies under the limit reported as below it."""
    rng = np.random.default_rng(seed)
    for row in rows:
        row["limit_flag"] = "left" if row["observed"] < limit else "none"
        if row["observed"] < limit:
            under = stats.norm.cdf((np.log(limit) - row["mean"]) / row["sd"])
            row |= {"observed": limit, "pit": float(under * rng.random())}
    return rows


def test_labs_under_a_limit_count_so_that_a_laboratory_near_it_is_not_called_high():
    """Rightly forecast labs around a limit: those above it alone are higher than expected."""
    lowest, ratios = [], []
    for seed in range(40):
        rows = censored(labs(20, 4, seed=seed), np.exp(3.0), seed)
        assert 0.3 < np.mean([row["limit_flag"] == "left" for row in rows]) < 0.7
        table = pooled_shifts(rows, by=("laboratory",), random_seed=1)
        assert table["labs"].sum() == len(rows)
        lowest.append(table["p_adjusted"].min())
        ratios += list(table["ratio"])
    assert np.mean(np.array(lowest) < 0.05) < 0.15
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.01)
    measured = [row for row in rows if row["limit_flag"] == "none"]
    assert pooled_shifts(measured, by=("laboratory",), random_seed=1)["ratio"].min() > 1.05  # what was seen before


def test_labs_under_a_limit_are_no_swapped_samples():
    rows = labs(30, 2, seed=4)
    same = [i for i, r in enumerate(rows) if r["batch"] == "day 0" and r["laboratory"] == "north"]
    i, j = min(same, key=lambda k: rows[k]["mean"]), max(same, key=lambda k: rows[k]["mean"])
    rows = [row | {"limit_flag": "none"} for row in swapped(rows, i, j)]
    assert len(swapped_samples(rows)) == 1
    rows[j]["limit_flag"] = "left"
    assert swapped_samples(rows).empty


def test_few_patients_are_shown_and_not_tested():
    table = pooled_shifts(labs(3, 4, shift=1.0), by=("laboratory",), random_seed=1)
    assert table["p"].isna().all() and np.isfinite(table["shift"]).all()
    assert pooled_shifts([], random_seed=1).empty


def swapped(rows, i, j):
    """The values of two rows exchanged, as an exchange of tubes would."""
    a, b = rows[i]["observed"], rows[j]["observed"]
    for row, y in ((rows[i], b), (rows[j], a)):
        row |= {"observed": y, "pit": float(stats.norm.cdf((np.log(y) - row["mean"]) / row["sd"]))}
    return rows


def test_two_swapped_samples_are_found_and_no_others():
    rows = labs(30, 2, seed=4)
    same = [i for i, r in enumerate(rows) if r["batch"] == "day 0" and r["laboratory"] == "north"]
    i, j = min(same, key=lambda k: rows[k]["mean"]), max(same, key=lambda k: rows[k]["mean"])
    found = swapped_samples(swapped(rows, i, j))
    assert {found.iloc[0]["patient_a"], found.iloc[0]["patient_b"]} == {rows[i]["patient"], rows[j]["patient"]}
    assert len(found) == 1
    a, b = rows[i], rows[j]
    p = lambda row, y: stats.norm.logpdf(np.log(y), row["mean"], row["sd"])  # noqa: E731
    exact = p(a, b["observed"]) + p(b, a["observed"]) - p(a, a["observed"]) - p(b, b["observed"])
    assert found.iloc[0]["log_bayes_factor"] == pytest.approx(exact)


def test_samples_of_other_batches_laboratories_or_of_one_patient_are_no_pair():
    assert swapped_samples(labs(60, 4, seed=5)).empty
    for change in ({"batch": "another"}, {"laboratory": "far"}, {"patient": "P-0"}, {"output": "z"}):
        rows = [r | {"patient": p, "batch": "b", "laboratory": "l"} for r, p in zip(labs(1, 2, seed=6), ("P-0", "P-1"))]
        rows[0]["mean"], rows[1]["mean"] = 1.0, 5.0
        rows[0]["observed"], rows[1]["observed"] = np.exp(5.0), np.exp(1.0)
        rows[0]["pit"], rows[1]["pit"] = 1.0, 0.0
        assert len(swapped_samples(rows)) == 1
        rows[1] |= change
        assert swapped_samples(rows).empty
    assert swapped_samples([]).empty
