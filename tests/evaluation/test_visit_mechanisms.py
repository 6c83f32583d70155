"""Mechanisms of follow-up do what they say, and the visit link is the likelihood of a Poisson process."""

from collections import Counter

import numpy as np
import pytest
from relapsing_model import relapsing_population

from bayestwin.errors import ModelError
from bayestwin.evaluation import visit_sensitivity as visits
from bayestwin.evaluation.visit_mechanisms import Mechanism, follow_cohort, latent_courses
from bayestwin.evaluation.visit_sensitivity import visit_log_likelihood, visit_sensitivity
from bayestwin.individual import compile_record
from bayestwin.records import Lab, PatientRecord
from bayestwin.twin import start_twin

SIZES = {"population_draws": 50, "islands": 4}
HOW = {"every": 28.0, "outputs": ("m_protein",), "random_seed": 3}


@pytest.fixture(scope="module")
def population(tmp_path_factory):
    return relapsing_population(tmp_path_factory.mktemp("models") / "relapsing")


@pytest.fixture(scope="module")
def courses(population):
    return latent_courses(population, "drug", 200, span=730.0, step=7.0, random_seed=1, **SIZES)


@pytest.fixture(scope="module")
def ignorable(courses):
    return follow_cohort(courses, Mechanism("ignorable"), **HOW)


def test_courses_are_those_of_the_truths_they_name(population, courses):
    model = population.model
    psi = np.stack([t.psi for t in courses.truths])
    level, k, g = (np.exp(psi[:, model.individual_names.index(n)]) for n in ("level", "k", "g"))
    f = 1.0 / (1.0 + np.exp(-psi[:, model.individual_names.index("f")]))
    t = courses.times[:, None]
    exact = level * ((1 - f) * np.exp(-k * t) + f * np.exp(g * t))
    fine = exact / level < np.exp(4.9)  # the model holds ln of its marker under 5
    np.testing.assert_allclose(courses.outputs[:, :, 0].T[fine], exact[fine], rtol=1e-6)
    rate = np.exp(psi[:, model.individual_names.index("rate")])
    np.testing.assert_allclose(courses.hazards[:, -1], courses.times[-1] * np.outer(rate, [0.5, 1.0]), rtol=1e-6)


def test_without_a_mechanism_visits_come_at_the_mean_rate_whatever_the_marker(courses, ignorable):
    time = sum(f.end for f in ignorable)
    visits = sum(len(f.record.labs) - 1 for f in ignorable)
    assert visits / (time / 28.0) == pytest.approx(1.0, abs=0.08)
    assert {f.ended for f in ignorable} <= {"progression", "other progression", "death", "end of study"}


def test_visits_linked_to_the_marker_come_while_it_is_high_and_no_more_often_in_all(courses, ignorable):
    linked = follow_cohort(courses, Mechanism("visits", visits=1.0), **HOW)
    marker = courses.outputs[:, :, 0]

    def mean_rank(found):  # where the marker of a visit lies in the patient's own course until the end
        ranks = []
        for n, one in enumerate(found):
            course = np.sort(marker[n][courses.times <= one.end])
            seen = [np.interp(lab.time, courses.times, marker[n]) for lab in one.record.labs if lab.time > 0]
            ranks += [np.searchsorted(course, x) / len(course) for x in seen]
        return np.mean(ranks)

    assert mean_rank(linked) > mean_rank(ignorable) + 0.05
    visits = [sum(len(f.record.labs) for f in found) for found in (linked, ignorable)]
    assert visits[0] == pytest.approx(visits[1], rel=0.25)


def test_the_next_therapy_comes_before_coded_progression_and_only_after_a_rise(courses):
    early = follow_cohort(courses, Mechanism("early", next_therapy=1 / 14), **HOW)
    count = Counter(f.ended for f in early)
    assert count["next therapy"] > 5 * count["progression"]
    for n, one in enumerate(early):
        if one.ended == "next therapy":
            course = courses.outputs[n, courses.times <= one.end, 0]
            assert course[-1] - course.min() >= 2.5 and one.record.events[-1].event == "last_known_alive"


def test_the_unfit_are_lost_first(courses):
    lost = follow_cohort(courses, Mechanism("lost", drop_out=1 / 500, unfit=1.0), **HOW)
    even = follow_cohort(courses, Mechanism("even", drop_out=1 / 500), **HOW)
    rate = courses.hazards[:, -1].sum(axis=-1)

    def excess(found):
        gone = np.array([f.ended == "lost" for f in found])
        return np.log(rate[gone]).mean() - np.log(rate[~gone]).mean()

    assert excess(lost) > excess(even) + 0.3


def test_every_record_is_one_that_the_likelihood_takes_and_ends_in_order(population, courses, ignorable):
    for one in ignorable[:40]:
        compile_record(population.model, one.record)
        assert all(lab.time <= one.end for lab in one.record.labs) and one.record.labs[0].time == 0.0
        kinds = [e.event for e in one.record.events]
        assert ("progression" in kinds) == (one.ended in ("progression", "other progression"))
        assert ("death" in kinds) == (one.ended == "death")


def test_a_constant_course_is_as_likely_under_every_strength_and_a_visit_at_a_peak_speaks_for_the_peak():
    times = np.linspace(0.0, 100.0, 101)
    flat, rising = np.full(101, 7.0), np.exp(0.02 * times)
    found = [visit_log_likelihood([flat, rising], times, [80.0, 90.0, 95.0], b) for b in (0.0, 1.0)]
    np.testing.assert_allclose(found[0], -3 * np.log(100.0))
    assert found[1][0] == pytest.approx(-3 * np.log(100.0)) and found[1][1] > found[1][0]
    exact = 0.02 * 265.0 - 3 * np.log((np.exp(2.0) - 1.0) / 0.02)  # closed form, up to the centring that cancels
    assert found[1][1] == pytest.approx(exact, abs=1e-3)


def test_the_time_at_risk_of_a_visit_begins_where_the_record_does(population, monkeypatch):
    """Visits before time zero counted, and the time that they were made in did not."""
    asked, real = {}, visits.trajectories

    def followed(twin, draws, plan, times, **how):
        outputs, events, ok = real(twin, draws, plan, times, **how)
        asked.update(times=times, solved=np.isfinite(outputs[ok]).all() and ok.all())
        return outputs, events, ok

    monkeypatch.setattr(visits, "trajectories", followed)
    labs = tuple(Lab(f"m@{t}", "m_protein", t, 20.0, t) for t in (-100.0, -50.0, 0.0, 50.0, 100.0))
    twin = start_twin(population, PatientRecord("S-1", labs=labs), particles=200, random_seed=1, **SIZES)
    visit_sensitivity(twin, (1.0,), random_seed=1)
    assert (asked["times"][0], asked["times"][-1], asked["solved"]) == (-100.0, 100.0, True)


def test_strength_zero_is_the_twin_itself_and_few_visits_are_refused(population, ignorable):
    record = next(f.record for f in ignorable if len(f.record.labs) > 4)
    known = record.known_at(record.labs[3].time)
    twin = start_twin(population, known, particles=200, random_seed=1, **SIZES)
    none, some, strong = visit_sensitivity(twin, (0.0, 1.0, 400.0), random_seed=1)
    np.testing.assert_allclose(none.weights, twin.weights, rtol=1e-9)
    assert some.ess < none.ess and not np.allclose(some.weights, none.weights)
    assert strong.weights is None and np.isnan(strong.mean(np.ones(200)))
    with pytest.raises(ModelError, match="a visit process needs visits"):
        visit_sensitivity(
            start_twin(population, PatientRecord("S"), particles=200, random_seed=1, **SIZES), (1.0,), random_seed=1
        )
