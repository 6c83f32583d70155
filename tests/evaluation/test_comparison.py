"""The twin against rivals: paired differences by hand, and no lab dropped in silence."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_score_tables import made_up

from bayestwin.errors import RecordError
from bayestwin.evaluation.comparison import compare_forecasters


def pick(found, score="crps", over="labs", rows="PASS", rival=None, split="everything", output="all"):
    """Rows of the table of differences."""
    t = found.table
    kept = (t["score"] == score) & (t["mean_over"] == over) & (t["rows"] == rows) & (t["split"] == split)
    kept &= t["output"] == output
    return t[kept] if rival is None else t[kept & (t["rival"] == rival)].iloc[0]


@pytest.fixture
def three_labs():
    """Two labs of one patient and one of another: twin and rival with scores that are easy to add."""
    twin = pd.concat([made_up(2, 2, seed=1).iloc[:3]], ignore_index=True).assign(
        observed=1.0, mean=[0.1, -0.2, 0.3], crps=[0.1, 0.2, 0.3], log_score=[-1.0, -2.0, -3.0]
    )
    rival = twin.assign(mean=[0.3, 0.2, -0.9], crps=[0.2, 0.2, 0.9], log_score=[-1.5, -1.0, -5.0])
    return twin, rival


def test_paired_differences_are_those_of_a_hand_calculation(three_labs):
    twin, rival = three_labs
    found = compare_forecasters(twin, {"rival": rival}, random_seed=1)
    expected = {
        ("crps", "labs"): (0.1 + 0.0 + 0.6) / 3,
        ("crps", "patients"): ((0.1 + 0.0) / 2 + 0.6) / 2,
        ("log_score", "labs"): (0.5 - 1.0 + 2.0) / 3,
        ("log_score", "patients"): (-0.25 + 2.0) / 2,
        ("absolute_error", "labs"): (0.2 + 0.0 + 0.6) / 3,
        ("absolute_error", "patients"): (0.1 + 0.6) / 2,
    }
    for (score, over), value in expected.items():
        row = pick(found, score, over, rival="rival")
        assert row["difference"] == pytest.approx(value), (score, over)
        assert (row["labs"], row["patients"]) == (3, 2)
    row = pick(found, rival="rival")
    assert row["rival_score"] == pytest.approx(1.3 / 3) and row["twin"] == pytest.approx(0.2)
    assert row["low"] == pytest.approx(0.05, abs=1e-9) and row["high"] == pytest.approx(
        0.6
    )  # of two patients: both ends


def test_a_worse_rival_is_told_from_a_better_one_and_the_best_makes_the_headline():
    twin = made_up(40, 12, seed=4)
    rivals = {
        name: made_up(40, 12, seed=4, **fault) for name, fault in (("far", {"shift": 1.0}), ("near", {"shift": 0.3}))
    }
    found = compare_forecasters(twin, rivals, random_seed=1)
    assert (pick(found)["low"] > 0).all()
    assert found.headline.startswith("CRPS (ln) of the twin") and "near, the best of 2 rivals" in found.headline
    assert "the twin's is lower" in found.headline and "480 labs of 40 patients" in found.headline
    seer = compare_forecasters(twin, {"seer": made_up(40, 12, seed=4, leak=0.9)}, random_seed=1)
    assert pick(seer, rival="seer")["high"] < 0 and "the twin's is higher" in seer.headline
    same = compare_forecasters(twin, {"twin again": twin}, random_seed=1)
    assert pick(same, rival="twin again")["difference"] == 0.0 and "no clear difference" in same.headline


def test_a_few_patients_with_many_labs_do_not_speak_for_all():
    many, few = made_up(2, 100, seed=5), made_up(30, 4, seed=6)
    few["patient"] = "F" + few["patient"]
    twin = pd.concat([many, few], ignore_index=True)
    rival = twin.assign(crps=twin["crps"] + np.where(twin["patient"].str.startswith("F"), 1.0, -1.0))
    found = compare_forecasters(twin, {"rival": rival}, random_seed=1)
    assert pick(found, rival="rival")["difference"] == pytest.approx((120 - 200) / 320)
    assert pick(found, over="patients", rival="rival")["difference"] == pytest.approx((30 - 2) / 32)


def test_labs_of_one_forecaster_only_and_withheld_ones_are_counted():
    twin, rival = made_up(4, 5, seed=1), made_up(4, 5, seed=1, shift=0.5)
    twin.loc[7, "verdict"] = rival.loc[[3, 8], "verdict"] = "WITHHELD"
    found = compare_forecasters(twin.iloc[1:], {"rival": rival.iloc[:-2].assign(n_seen=0)}, random_seed=1)
    counts = found.counts.iloc[0]
    assert (counts["labs_of_both"], counts["only_twin"], counts["only_rival"]) == (17, 2, 1)
    assert (counts["withheld_by_twin"], counts["withheld_by_rival"], counts["passed_by_both"]) == (1, 2, 14)
    assert counts["other_labs_learnt"] == (twin.iloc[1:-2]["n_seen"] > 0).sum()
    assert pick(found, rival="rival")["labs"] == 14 and pick(found, rows="all", rival="rival")["labs"] == 17
    for split in ("treatment", "horizon", "labs_learnt"):
        assert pick(found, split=split)["labs"].sum() == 14


def test_outputs_in_different_units_get_a_sentence_each():
    def parts(**fault):
        pair = enumerate(("glucose", "insulin"))
        return pd.concat(
            [made_up(6, 5, seed=k, output=o, scale="natural", **fault) for k, o in pair], ignore_index=True
        )

    found = compare_forecasters(parts(), {"rival": parts(shift=1.0)}, random_seed=1)
    assert "glucose: CRPS of the twin" in found.headline and "insulin: CRPS of the twin" in found.headline
    assert np.isnan(pick(found, rival="rival")["difference"])
    assert pick(found, "log_score", rival="rival")["difference"] > 0  # differences of log scores have no unit
    assert pick(found, output="insulin", rival="rival")["difference"] > 0


def test_a_rival_of_one_output_is_compared_on_that_one():
    twin = pd.concat([made_up(6, 5, seed=k, output=o, scale="natural") for k, o in enumerate(("glucose", "insulin"))])
    both, one = twin.assign(crps=twin["crps"] + 1), twin[twin["output"] == "insulin"]
    found = compare_forecasters(twin, {"both": both, "one": one.assign(crps=one["crps"] + 0.5)}, random_seed=1)
    assert "of both, the only rival" in found.headline and "of one, the best of 2 rivals" in found.headline
    assert pick(found, rival="one", output="insulin")["difference"] == pytest.approx(0.5)
    assert pick(found, output="glucose")["rival"].tolist() == ["both"]


def test_the_headline_says_what_withheld_forecasts_would_make_of_it():
    twin = made_up(20, 6, seed=1)
    rival = twin.assign(crps=twin["crps"] + np.where(twin.index % 3 == 0, -1.0, 0.1))
    found = compare_forecasters(
        twin.assign(verdict=np.where(twin.index % 3 == 0, "WITHHELD", "PASS")), {"r": rival}, random_seed=1
    )
    assert "the twin's is lower; rival - twin 0.1 (0.1 to 0.1) over 80 labs" in found.headline
    assert "With withheld forecasts: -0.267" in found.headline and "over 120 labs." in found.headline


def test_labs_held_impossible_by_both_are_a_tie():
    twin = made_up(4, 5, seed=1)
    twin.loc[2, "log_score"] = -np.inf
    tie = compare_forecasters(twin, {"rival": twin}, random_seed=1)
    row = pick(tie, "log_score", rival="rival")
    assert row["difference"] == 0.0 and row["labs"] == 20
    better = compare_forecasters(twin, {"rival": made_up(4, 5, seed=1)}, random_seed=1)
    row = pick(better, "log_score", rival="rival")
    assert row["difference"] == -np.inf and np.isnan(row["low"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"observed": 3.0},
            "disagree on observed of a lab .*rival other, m_protein at time 28|patient P-000, rival other",
        ),
        ({"scale": "natural"}, "disagree on scale of a lab .20 labs."),
        ({"patient": "X"}, "a lab stands twice"),
        ({"output": "involved_flc"}, "rival other, 20 rows: no lab in common with the twin"),
    ],
)
def test_a_rival_of_other_labs_is_refused_with_the_place(change, said):
    twin = made_up(4, 5, seed=1)
    with pytest.raises(RecordError, match=said):
        compare_forecasters(twin, {"other": twin.assign(**change)}, random_seed=1)


def test_no_rival_at_all_is_said():
    with pytest.raises(RecordError, match="no rival to compare with"):
        compare_forecasters(made_up(2, 2, seed=1), {}, random_seed=1)
