"""Tables of scores: a calibrated forecaster passes, four wrong ones are seen, and every lab is counted once."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from bayestwin.errors import RecordError
from bayestwin.evaluation import COLUMNS
from bayestwin.evaluation.predictions import QUANTILE_COLUMNS
from bayestwin.evaluation.predictions_file import read_predictions
from bayestwin.evaluation.score_tables import (
    NOT_AHEAD,
    NOTHING_LEARNT,
    count_table,
    learnt_elsewhere,
    score_table,
    uniformity_statement,
    with_splits,
)
from bayestwin.evaluation.scores import clustered_interval, coverage, ecdf_band, lab_scores, uniformity

LEVEL_SD, RESIDUAL_SD = 1.0, 0.4  # of a patient's own level around 2, and of a lab around it, on ln


def made_up(patients, labs, *, seed, width=1.0, shift=0.0, leak=0.0, learns=True, output="m_protein", scale="ln"):
    """Exact one-step forecasts of labs that scatter around each patient's own level, and how to spoil them.

    width : SDs are this times too wide; shift : means are this many SDs too high
    leak : how far the mean is moved towards the lab to come; learns=False : the population is forecast every time
    """
    rng = np.random.default_rng(seed)
    y = rng.normal(2.0, LEVEL_SD, (patients, 1)) + rng.normal(0.0, RESIDUAL_SD, (patients, labs))
    number = np.arange(labs) if learns else np.zeros(labs)
    precision = 1 / LEVEL_SD**2 + number / RESIDUAL_SD**2
    learnt = (np.cumsum(y, axis=1) - y) / RESIDUAL_SD**2 if learns else 0.0
    mean = (2.0 / LEVEL_SD**2 + learnt) / precision
    sd = np.sqrt(1 / precision + RESIDUAL_SD**2) * np.ones_like(y)
    mean = mean + shift * sd + leak * (y - mean)
    sd = width * sd
    z, time = (y - mean) / sd, 28.0 * (1 + np.tile(np.arange(labs), (patients, 1)))
    back = np.exp if scale == "ln" else np.asarray
    columns = {
        "patient": np.repeat([f"P-{k:03d}" for k in range(patients)], labs),
        "lab_id": [f"{output}-{k}" for _ in range(patients) for k in range(labs)],
        "time": time,
        "known_time": time,
        "output": output,
        "treatment": np.where(time < 100.0, "", "dara_pd"),
        "observed": back(y),
        "limit_flag": "none",
        "scale": scale,
        "mean": mean,
        "sd": sd,
        **{name: back(mean + norm.ppf(p) * sd) for name, p in QUANTILE_COLUMNS.items()},
        "crps": sd * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi)),
        "log_score": norm.logpdf(z) - np.log(sd) - (y if scale == "ln" else 0.0),
        "pit": norm.cdf(z),
        "n_seen": np.tile(np.arange(labs), (patients, 1)),
        "verdict": "PASS",
    }
    return pd.DataFrame({k: np.ravel(v) if np.ndim(v) else v for k, v in columns.items()})[list(COLUMNS)]


def whole(table, rows="PASS", output="all"):
    """Scores of everything, by name."""
    mine = (table["rows"] == rows) & (table["output"] == output) & (table["split"] == "everything")
    return table[mine].set_index("score")


def test_a_calibrated_forecaster_passes():
    frame = made_up(150, 20, seed=1)
    scores = whole(score_table(frame, random_seed=1, probability=0.99))
    for level in (50, 80, 90):
        row = scores.loc[f"coverage_{level}"]
        p = level / 100
        assert row["value"] == pytest.approx(p, abs=3 * np.sqrt(p * (1 - p) / len(frame)))
        assert row["low"] < p < row["high"]
    assert scores.loc["bias", "low"] < 0 < scores.loc["bias", "high"]
    assert scores.loc["pit_uniform_p", "value"] > 0.01
    assert "uniform is not contradicted" in uniformity_statement(
        uniformity(frame["pit"], frame["patient"], random_seed=1), frame["pit"]
    )


def test_intervals_are_read_with_their_upper_end_and_refused_without_one(tmp_path):
    frame = made_up(3, 3, seed=1).assign(observed_to=np.nan)
    for n, (flag, upper) in enumerate((("interval", 1e3), ("interval", np.nan), ("interval", 1e-3))):
        frame.loc[n, ["limit_flag", "observed_to"]] = flag, upper
    frame.to_csv(tmp_path / "p.csv", index=False)
    reading = read_predictions(tmp_path / "p.csv")
    assert [(r.row, r.column) for r in reading.refusals] == [(3, "observed_to"), (4, "observed_to")]
    assert reading.frame["observed_to"].tolist()[0] == 1e3 and reading.frame["observed_to"][1:].isna().all()
    assert np.isnan(lab_scores(reading.frame)["error"][0]) and np.isfinite(lab_scores(reading.frame)["crps"][0])
    frame.drop(columns="observed_to").to_csv(tmp_path / "p.csv", index=False)
    assert all("observed_to" in r.allowed for r in read_predictions(tmp_path / "p.csv").refusals)


@pytest.mark.parametrize(
    ("fault", "said", "score", "side"),
    [
        ({"width": 0.6}, "intervals are too narrow", "coverage_80", "under"),
        ({"width": 1.6}, "intervals are too wide", "coverage_80", "over"),
        ({"leak": 0.5}, "known beforehand", "coverage_80", "over"),
        ({"shift": 0.5}, "labs lie below what was forecast", "bias", "over"),
        ({"shift": -0.5}, "labs lie above what was forecast", "bias", "under"),
    ],
)
def test_overconfident_timid_leaking_and_biased_forecasters_are_seen(fault, said, score, side):
    frame = made_up(60, 15, seed=2, **fault)
    scores = whole(score_table(frame, random_seed=1))
    target = 0.8 if score == "coverage_80" else 0.0
    assert scores.loc[score, "high"] < target if side == "under" else scores.loc[score, "low"] > target
    assert scores.loc["pit_uniform_p", "value"] < 0.01
    statement = uniformity_statement(uniformity(frame["pit"], frame["patient"], random_seed=1), frame["pit"])
    assert "not uniform" in statement and said in statement


def test_intervals_by_patient_hold_the_truth_and_naive_ones_do_not():
    """A forecaster that never learns the patient is calibrated over patients, and wrong all at once in each."""
    held, naive_held, widths = 0, 0, []
    for seed in range(120):
        frame = made_up(20, 15, seed=seed, learns=False)
        inside = coverage(frame["pit"], 0.5)
        _, low, high = clustered_interval(inside, frame["patient"], random_seed=1, resamples=800)
        _, naive_low, naive_high = clustered_interval(inside, np.arange(len(frame)), random_seed=1, resamples=800)
        held, naive_held = held + (low <= 0.5 <= high), naive_held + (naive_low <= 0.5 <= naive_high)
        widths.append((high - low) / (naive_high - naive_low))
    assert np.mean(widths) > 2.0
    assert 0.82 <= held / 120 <= 0.97  # 90 %, Monte Carlo SE 2.7 %
    assert naive_held / 120 < 0.65


def test_clustered_pits_are_not_called_uneven_for_being_clustered():
    clustered, naive = [], []
    for seed in range(100):
        frame = made_up(25, 15, seed=seed, learns=False)
        clustered.append(uniformity(frame["pit"], frame["patient"], random_seed=1).p <= 0.05)
        naive.append(uniformity(frame["pit"], np.arange(len(frame)), random_seed=1).p <= 0.05)
    assert np.mean(clustered) <= 0.11  # 5 %, Monte Carlo SE 2.2 %
    assert np.mean(naive) > 0.5


def test_independent_pits_are_uneven_as_often_as_the_level_says():
    rng = np.random.default_rng(3)
    p = [uniformity(rng.uniform(size=300), np.arange(300), random_seed=1).p for _ in range(200)]
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=3 * np.sqrt(0.09 / 200))


def test_the_band_of_independent_pits_is_the_published_one():
    ecdf_utils = pytest.importorskip("arviz_stats.ecdf_utils")
    u, low, high = ecdf_band(150, probability=0.95, random_seed=1)
    p = ecdf_utils.simulate_confidence_bands(150, 1, u, 0.95, 1000, np.random.default_rng(1))
    their_low, their_high = ecdf_utils.get_pointwise_confidence_band(p, 150, u)
    assert np.abs(low + u - their_low).max() <= 1.01 / 150 and np.abs(high + u - their_high).max() <= 1.01 / 150


def test_the_horizon_is_measured_from_the_newest_lab_known_before_the_panel():
    rows = made_up(1, 4, seed=1).assign(time=[1.0, 0.5, 3.0, 2.0], known_time=[1.0, 1.0, 3.0, 5.0], n_seen=[0, 0, 2, 3])
    split = with_splits(rows)
    assert split["horizon"].isna().tolist() == [True, True, False, False]
    assert split["horizon"].tolist()[2:] == [2.0, -1.0]
    assert split["by_horizon"].tolist() == [NOTHING_LEARNT, NOTHING_LEARNT, "0 to 2", NOT_AHEAD]
    assert split["by_labs_learnt"].tolist() == ["0", "0", "1 to 3", "1 to 3"]
    assert split["by_treatment"].tolist() == ["none", "none", "none", "dara_pd"]


def test_labs_learnt_are_grouped_as_announced():
    rows = made_up(1, 7, seed=1).assign(n_seen=[0, 1, 3, 4, 9, 16, 17])
    groups = ["0", "1 to 3", "1 to 3", "4 to 8", "9 to 16", "9 to 16", "17 and more"]
    assert with_splits(rows)["by_labs_learnt"].tolist() == groups


def test_after_a_landmark_the_horizon_starts_there():
    rows = made_up(2, 6, seed=1)
    late = rows[rows["time"] > 60.0].assign(n_seen=2)
    split = with_splits(late, reveal_until=60.0, horizon_edges=[30.0, 90.0])
    assert split["horizon"].tolist() == [24.0, 52.0, 80.0, 108.0] * 2
    assert split["by_horizon"].tolist() == ["0 to 30", "30 to 90", "30 to 90", "over 90"] * 2
    with pytest.raises(RecordError, match="patient P-000, m_protein at time 28: .*expected times after 60 only"):
        with_splits(rows, reveal_until=60.0)
    with pytest.raises(RecordError, match="edges"):
        with_splits(rows, horizon_edges=[30.0, 30.0])
    assert learnt_elsewhere(rows) == 0 and learnt_elsewhere(late) > 0  # without the landmark the file explains nothing


def test_horizons_that_four_digits_do_not_tell_apart_have_more():
    split = with_splits(made_up(2, 6, seed=1), reveal_until=-1e9)
    assert split["by_horizon"].nunique() == 4 and split["by_horizon"].iloc[0] == "0 to 1.00000006e+09"


def test_the_groups_of_every_split_add_up_to_everything():
    frame = pd.concat([made_up(9, 20, seed=k, output=o) for k, o in enumerate(("m_protein", "involved_flc"))])
    frame["verdict"] = np.where(np.arange(len(frame)) % 7 == 0, "WITHHELD", "PASS")
    frame.loc[frame["lab_id"] == "m_protein-3", "limit_flag"] = "left"
    table, counts = score_table(frame, random_seed=1, resamples=50), count_table(frame).set_index("output")
    for rows, column in (("PASS", "passed"), ("all", "labs")):
        for output in ("all", "m_protein", "involved_flc"):
            mine = table[(table["rows"] == rows) & (table["output"] == output) & (table["score"] == "crps")]
            for _, part in mine.groupby("split"):
                assert part["labs"].sum() == counts.loc[output, column]
                assert len(part) == part["group"].nunique()
    assert (counts["passed"] + counts["withheld"] == counts["labs"]).all()
    assert counts.loc["all", "labs"] == counts.loc["m_protein", "labs"] + counts.loc["involved_flc", "labs"]
    assert counts.loc["m_protein", "censored"] == 9 and counts.loc["all", "patients"] == 9
    without_limit = whole(table, "all", "m_protein").loc["rmse", "labs"]
    assert without_limit == counts.loc["m_protein", "labs"] - 9  # a censored lab has no error


def test_withholding_the_worst_forecasts_does_not_flatter():
    frame = made_up(20, 10, seed=3)
    before = whole(score_table(frame, random_seed=1), "all").loc["crps", "value"]
    frame["verdict"] = np.where(frame["crps"] > frame["crps"].quantile(0.8), "WITHHELD", "PASS")
    table = score_table(frame, random_seed=1)
    assert whole(table, "all").loc["crps", "value"] == before
    assert whole(table, "PASS").loc["crps", "value"] < 0.8 * before


def test_the_figures_are_those_of_a_hand_calculation():
    frame = made_up(2, 2, seed=1).assign(
        observed=np.exp([1.0, 2.0, 3.0, 4.0]), mean=[1.5, 2.0, 2.0, 9.0], limit_flag=["none", "none", "none", "left"]
    )
    scores = whole(score_table(frame, random_seed=1))
    assert scores.loc["bias", "value"] == pytest.approx((0.5 + 0.0 - 1.0) / 3)
    assert scores.loc["rmse", "value"] == pytest.approx(np.sqrt((0.25 + 0.0 + 1.0) / 3))
    assert scores.loc["crps", "value"] == pytest.approx(frame["crps"].mean())
    assert scores.loc["rmse", "labs"] == 3 and scores.loc["crps", "labs"] == 4
    assert scores.loc["rmse", "scale"] == "ln" and scores.loc["coverage_50", "scale"] == ""


def test_outputs_in_different_units_are_not_averaged():
    parts = [made_up(5, 5, seed=k, output=o, scale="natural") for k, o in enumerate(("glucose", "insulin"))]
    table = score_table(pd.concat(parts), random_seed=1, resamples=50)
    pooled = whole(table)
    assert pooled.loc[["crps", "rmse", "bias"], "value"].isna().all() and pooled.loc["crps", "scale"] == "mixed"
    assert np.isfinite(pooled.loc["coverage_90", "value"]) and np.isfinite(
        whole(table, output="insulin").loc["crps", "value"]
    )


def test_a_lab_held_impossible_is_a_score_of_minus_infinity_and_no_interval():
    frame = made_up(5, 5, seed=1)
    frame.loc[3, "log_score"] = -np.inf
    row = whole(score_table(frame, random_seed=1)).loc["log_score"]
    assert row["value"] == -np.inf and np.isnan(row["low"]) and np.isnan(row["high"])


def test_where_every_lab_is_covered_the_interval_still_has_a_width():
    frame = made_up(12, 3, seed=1).assign(pit=0.5)
    row = whole(score_table(frame, random_seed=1)).loc["coverage_80"]
    assert row["value"] == row["high"] == 1.0 and row["low"] == pytest.approx(0.05 ** (1 / 12))
    row = whole(score_table(frame.assign(pit=0.999), random_seed=1)).loc["coverage_80"]
    assert row["value"] == row["low"] == 0.0 and row["high"] == pytest.approx(1 - 0.05 ** (1 / 12))


def test_all_withheld_and_one_patient_are_told_and_do_not_fail():
    table = score_table(made_up(1, 6, seed=1).assign(verdict="WITHHELD"), random_seed=1)
    assert set(table["rows"]) == {"all"}
    assert table["low"].isna().all() and np.isfinite(whole(table, "all").loc["crps", "value"])
    pit = made_up(1, 6, seed=1)["pit"]
    assert "not judged" in uniformity_statement(uniformity(pit, ["P"] * 6, random_seed=1), pit)


def test_predictions_come_back_from_their_file_as_they_were(tmp_path):
    frame = made_up(3, 4, seed=1)
    frame.loc[2, ["mean", "sd", *QUANTILE_COLUMNS, "crps", "log_score", "pit"]] = np.nan
    frame.loc[2, "verdict"] = "WITHHELD"
    frame.to_csv(tmp_path / "p.csv", index=False)
    reading = read_predictions(tmp_path / "p.csv")
    assert not reading.refusals and not reading.notes
    pd.testing.assert_frame_equal(reading.frame, frame, check_dtype=False, check_exact=True)
    np.testing.assert_array_equal(lab_scores(reading.frame)["error"], lab_scores(frame)["error"])
    assert count_table(reading.frame)["without_score"].tolist() == [1]
