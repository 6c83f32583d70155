"""What is counted and graded in a twin, against quadrature: posterior, evidence, what was expected of each lab."""

import numpy as np
import pytest
from counted_model import VALUES, by_quadrature, counted_draws, counted_record, write_counted_model

from bayestwin.errors import RecordError
from bayestwin.specification import load_model
from bayestwin.twin import load_twin, predict_labs, rebuild_twin, save_twin, start_twin, update_twin

MARKER = (1.6, 0.9, 1.4, 0.2, -0.4, -0.9)


@pytest.fixture(scope="module")
def population(tmp_path_factory, make_population):
    model = load_model(write_counted_model(tmp_path_factory.mktemp("models") / "counted"))
    return make_population(model, counted_draws())


def moments(twin):
    x, w = np.asarray(twin.particles.psi[:, 0]), twin.weights
    mean = float((w * x).sum())
    return mean, float(np.sqrt((w * (x - mean) ** 2).sum()))


def lab_by_lab(population, records, sizes):
    twin, seen = start_twin(population, counted_record(()), random_seed=1, **sizes), []
    for record in records:
        twin, info = update_twin(twin, record, random_seed=2, population=population)
        seen += info.surprise
    return twin, seen


@pytest.fixture(scope="module")
def followed(population, sizes):
    """The twin lab by lab, and what it expected of each."""
    return lab_by_lab(population, [counted_record(VALUES[:n]) for n in range(1, len(VALUES) + 1)], sizes)


@pytest.fixture(scope="module")
def whole(population, sizes):
    """The oracle."""
    return rebuild_twin(population, counted_record(), random_seed=3, **sizes)[0]


@pytest.mark.parametrize("which", ["lab by lab", "late labs", "from scratch"])
def test_the_posterior_and_the_evidence_are_those_of_quadrature(population, sizes, followed, whole, which):
    late = [3, 0, 5, 1, 4, 2]
    if which == "late labs":
        labs = counted_record().labs
        records = [counted_record().with_labs(labs[k] for k in late[:n]) for n in range(1, len(late) + 1)]
        twin = lab_by_lab(population, records, sizes)[0]
    else:
        twin = followed[0] if which == "lab by lab" else whole
    mean, sd, evidence, _ = by_quadrature(counted_draws(), VALUES)
    found = moments(twin)
    assert abs(found[0] - mean) < 4 * max(twin.info.monte_carlo_error["severity"], 0.02 * sd)
    assert found[1] == pytest.approx(sd, rel=0.12)
    assert sum(info.log_evidence for info in twin.history) == pytest.approx(evidence, abs=0.15)


def test_the_tolerances_above_would_notice_a_lab_counted_twice_and_categories_turned_round():
    mean, sd, evidence, _ = by_quadrature(counted_draws(), VALUES)
    for wrong in ((*VALUES, VALUES[1]), [(o, 3 - v if o == "grade" else v) for o, v in VALUES]):
        other = by_quadrature(counted_draws(), wrong)
        assert abs(other[0] - mean) > 0.08 * sd and abs(other[2] - evidence) > 0.2


def test_what_was_expected_of_each_lab_is_its_mixture_with_a_pit_between_both_sides_of_the_value(followed):
    draws = counted_draws()
    for n, ((output, value), surprise) in enumerate(zip(VALUES, followed[1])):
        asked = [(output, v) for v in range(value + 1)]
        chances = by_quadrature(draws, VALUES[:n], asked)[3]
        below, at = sum(chances[:-1]), sum(chances)
        assert surprise.pit_range == pytest.approx((below, at), abs=0.05)
        assert below - 0.05 <= surprise.pit <= at + 0.05 and surprise.scale == "natural"
        assert surprise.log_score == pytest.approx(np.log(chances[-1]), abs=0.15)
        assert all(q == int(q) for q in surprise.quantiles.values()) and surprise.tenfold_high is None
        assert surprise.tail == min(surprise.pit_range[1], 1.0 - surprise.pit_range[0])
        if output != "infections":  # the ranked probability score of few categories by hand
            top = {"grade": 3, "answer": 1}[output]
            p = np.array(by_quadrature(draws, VALUES[:n], [(output, v) for v in range(top + 1)])[3])
            rps = ((np.cumsum(p)[:-1] - (np.arange(top) >= value)) ** 2).sum()
            assert surprise.crps == pytest.approx(rps, abs=0.06)


def test_a_marker_that_wanders_beside_them_is_carried_in_the_stored_state(population, sizes):
    records = [counted_record(VALUES[:n], marker=MARKER[:n]) for n in (2, 4, 6)]
    twin, _ = lab_by_lab(population, records, sizes)
    oracle, _ = rebuild_twin(population, records[-1], random_seed=3, **sizes)
    (a, sd_a), (b, sd_b) = moments(twin), moments(oracle)
    error = np.hypot(twin.info.monte_carlo_error["severity"], oracle.info.monte_carlo_error["severity"])
    assert abs(a - b) < 4 * max(error, 0.02 * sd_b) and sd_a == pytest.approx(sd_b, rel=0.12)
    assert abs(b - moments(rebuild_twin(population, counted_record(), random_seed=3, **sizes)[0])[0]) > 0.1 * sd_b


def test_a_twin_comes_back_from_its_file_with_both_sides_of_each_value(followed, tmp_path):
    twin = followed[0]
    again = load_twin(save_twin(twin, tmp_path / "twin.nc"), twin.model)
    seen = [info.surprise for info in twin.history]
    assert [info.surprise for info in again.history] == seen and seen[-1][0].pit_range is not None


@pytest.mark.parametrize(
    ("output", "value", "censoring", "says"),
    [
        ("infections", 2.5, "none", "infections at 7.*'2.5'.*whole numbers from 0 to 200"),
        ("infections", 201.0, "none", "'201'"),
        ("infections", 5.0, "left", "5, left-censored"),
        ("grade", 4.0, "none", "'4'.*expected 0, 1, 2, 3"),
        ("answer", -1.0, "none", "expected 0, 1"),
    ],
)
def test_a_lab_made_in_python_that_is_no_count_or_category_is_refused(followed, output, value, censoring, says):
    twin = followed[0]
    wrong = counted_record((*VALUES, (output, value)))
    labs = [lab if lab.time < 7 else type(lab)(lab.lab_id, output, 7.0, value, 7.0, censoring) for lab in wrong.labs]
    with pytest.raises(RecordError, match=says) as caught:
        predict_labs(twin, wrong.with_labs(labs), random_seed=1)
    assert "patient C-1" in str(caught.value) and "Correct the lab or leave it out" in str(caught.value)
