"""The day-28 comparison counts and pairs as it says, without any twin."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import day_28


def test_the_area_under_the_curve_of_a_perfect_a_useless_and_a_reversed_score():
    alive = np.array([True, True, False, False])
    assert [day_28.auc(s, alive) for s in ([3, 4, 1, 2], [1, 1, 1, 1], [1, 2, 3, 4])] == [1.0, 0.5, 0.0]
    low, high = day_28.auc_interval(np.r_[np.arange(20) + 5.0, np.arange(20)], np.repeat([True, False], 20))
    assert 0.5 < low < day_28.auc(np.r_[np.arange(20) + 5.0, np.arange(20)], np.repeat([True, False], 20)) < high < 1


def batch(last, left, isotype="IgG"):
    last, n = np.asarray(last, float), len(last)
    labs = {"m_protein": np.stack([np.full(n, 18.0), last], axis=1), "involved_flc": np.ones((n, 2))}
    return {"isotype": [isotype] * n, "labs": labs, "left": np.asarray(left), "ok": np.ones(n, dtype=bool)}


def test_pairs_are_one_survivor_and_one_without_who_read_alike():
    found, natural = day_28.pairs(iter([batch([6.4, 6.5, 9.0, 6.6, 20.0], [0.001, 0.05, 0.3, 0.2, 0.5])]), 5)
    assert [one["group"] for one in found] == ["survived", "gone"]
    assert [one["labs"]["m_protein"][-1] for one in found] == [6.6, 6.4]
    assert natural == {"survived": 1, "between": 1, "gone": 1}


def test_patients_with_iga_stand_beside_the_pairs_and_are_never_in_one():
    found, natural = day_28.pairs(iter([batch([6.5], [0.3], "IgA"), batch([6.5], [0.001])]), 4)
    assert [one["group"] for one in found] == ["IgA survived"] and natural["gone"] == 1


def test_a_batch_of_another_structure_is_followed_to_day_28(monkeypatch):
    monkeypatch.setattr(day_28, "BATCH", 8)
    made = next(day_28.from_another_structure(1))
    assert made["labs"]["m_protein"].shape == (8, len(day_28.DAYS)) and (made["left"] > 0).all()
    assert set(made["isotype"]) <= {"IgG", "IgA"} and ((made["labs"]["m_protein"][:, 0] - 18.0) < 8.0).all()


@pytest.mark.parametrize("left, group", [(0.1, "survived"), (0.05, ""), (0.009, "gone")])
def test_groups_leave_out_what_lies_between(left, group):
    assert day_28.group_of("IgG", left) == group
