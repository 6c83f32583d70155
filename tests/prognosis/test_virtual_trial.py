"""Virtual trials against closed forms: hazards, pure growth, two classes, waiting, drop-out, no treatment."""

from dataclasses import replace
from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from trial_model import trial_population

from bayestwin.errors import FitError, ModelError
from bayestwin.evaluation.published_arms import outcome_rows
from bayestwin.prognosis import trials, virtual_trial
from bayestwin.prognosis.arm_outcomes import Group, draw_arms, expected, kaplan_meier, medians, step_at
from bayestwin.prognosis.trials import effects_on_arm, trial_effects_of
from bayestwin.prognosis.virtual_course import Solver
from bayestwin.prognosis.virtual_patients import covariates_at, sliced_hypercube
from bayestwin.prognosis.virtual_response import Coder
from bayestwin.specification import Constant, Outcome, Shares, Spread, TrialArm

MONTH = 30.4375
ARM = TrialArm("arm", "drug", 60, 28.0)
RESPONSE, COMPLETE = Outcome("response", 0.5), Outcome("complete_response", 0.5)


@pytest.fixture(scope="module")
def population(tmp_path_factory):
    return trial_population(tmp_path_factory.mktemp("models") / "trial", coder=True)


@pytest.fixture(scope="module")
def simulate(population):
    def simulate(arm=ARM, **how):
        how = {"random_seed": 1, "draws": 24, "patients": 8, "months": 30.0} | how
        return virtual_trial(population, arm, **how)

    return simulate


def site(population, name):
    return population.posterior[f"{name}_pop"].values.ravel()


def hazards(population):
    return site(population, "h_other"), site(population, "h_death")


def visit_of_progression(growth):
    """Days: the first visit at which the level has grown by a quarter."""
    return 28.0 * np.ceil(np.log(1.25) / growth / 28.0 - 1e-9)


def test_responders_progress_by_constant_hazards_alone_and_non_responders_at_a_known_visit(simulate, population):
    trial, p = simulate(), site(population, "p_non")
    other, death = hazards(population)
    for month in (6.0, 12.0, 24.0):
        free = np.exp(-(other + death) * month * MONTH)
        still = visit_of_progression(site(population, "g")) > month * MONTH
        assert trial.draws_of(Outcome("pfs_at", 0.5, month)) == pytest.approx(
            (1 - p) * free + p * still * free, abs=1e-5
        )
        assert trial.draws_of(Outcome("os_at", 0.5, month)) == pytest.approx(np.exp(-death * month * MONTH), abs=1e-5)


def test_the_response_rate_of_a_two_class_model_is_the_chance_of_the_class_that_responds(simulate, population):
    """Less who dies or progresses before the second visit that shows the response: half of the level after 14 days, at
    visits 28 and 56."""
    other, death = hazards(population)
    expected = (1 - site(population, "p_non")) * np.exp(-(other + death) * 56.0)
    found = simulate(patients=400).draws_of(RESPONSE)
    assert found == pytest.approx(expected, abs=0.02)
    assert (found - expected).mean() == pytest.approx(0.0, abs=0.004)


def test_who_cannot_be_solved_in_one_class_is_left_out_with_both(simulate, population, monkeypatch):
    """Else he would count as one of the other class: here responders of every third patient cannot be solved."""
    whole = Solver.__call__

    def partly(self, draw, node, rows):
        outputs, hazards, ok, values = whole(self, draw, node, rows)
        return outputs, hazards, ok & ~((node % 3 == 0) & (np.asarray(rows)[:, 0] == 0)), values

    monkeypatch.setattr(trials, "MOST_FAILED", 1.0)
    monkeypatch.setattr(Solver, "__call__", partly)
    other, death = hazards(population)
    expected = (1 - site(population, "p_non")) * np.exp(-(other + death) * 56.0)
    trial = simulate(patients=400)
    assert 0.1 < trial.failed < 0.2
    assert (trial.draws_of(RESPONSE) - expected).mean() == pytest.approx(0.0, abs=0.006)


def test_the_median_is_where_half_are_left(simulate, population):
    idle = replace(ARM, treatment="other_drug")
    found = simulate(idle).draws_of(Outcome("pfs_median", 1.0))
    months = visit_of_progression(site(population, "g")) / MONTH
    assert np.abs(found - months).max() < 0.5  # of the grid; few die or progress otherwise before
    assert medians(np.array([1.0, 2.0, 3.0]), np.array([[0.9, 0.6, 0.2], [0.9, 0.8, 0.7]])) == pytest.approx(
        [2.25, np.inf]
    )


def test_a_share_of_nobody_is_no_chance_below_nought():
    """Few responders in 20 draws of 4 batches of 2: without the clip the least share is -7e-18, and no arm is drawn."""
    rng, cells = np.random.default_rng(35), 20 * 4 * 2
    yes = rng.random(cells) < np.repeat(rng.beta(0.3, 6.0, 20), 8)
    where = {"draw": np.repeat(np.arange(20), 8), "batch": np.tile(np.repeat(np.arange(4), 2), 20)}
    all_free = {"free": np.ones((cells, 1)), "alive": np.ones((cells, 1)), "weight": np.ones(cells)}
    group = Group(SimpleNamespace(**where, **all_free, response=yes, complete=yes), 1.0)
    found = expected([group], [6.0], draws=20, batches=4)
    assert found.shares["response"].min() == 0.0 and found.shares["response"].max() > 0.1
    assert draw_arms(found, 30, drop_out=0.0, rng=rng).shares["response"].min() == 0.0


def test_while_waiting_only_deaths_count(simulate, population):
    arm = replace(ARM, treatment="drug", wait=90.0)
    other, death = hazards(population)
    p, found = site(population, "p_non"), simulate(arm).draws_of(Outcome("pfs_at", 0.5, 12.0))
    day = 12.0 * MONTH
    still = 90.0 + visit_of_progression(site(population, "g")) > day
    assert found == pytest.approx(np.exp(-death * day - other * (day - 90.0)) * (1 - p + p * still), abs=1e-4)


def test_patients_who_never_start_count_and_do_not_respond(simulate):
    treated = simulate()
    untreated = simulate(replace(ARM, treatment="other_drug"))
    both = simulate(replace(ARM, not_started=0.25))
    landmark = Outcome("pfs_at", 0.5, 12.0)
    mixed = 0.75 * treated.draws_of(landmark) + 0.25 * untreated.draws_of(landmark)
    assert both.draws_of(landmark) == pytest.approx(mixed, abs=1e-6)
    assert both.draws_of(RESPONSE).mean() == pytest.approx(0.75 * treated.draws_of(RESPONSE).mean(), abs=0.02)
    instead = simulate(replace(ARM, treatment="other_drug", not_started=0.25, instead="drug"))
    assert instead.draws_of(RESPONSE).mean() == pytest.approx(0.25 * treated.draws_of(RESPONSE).mean(), abs=0.02)


def test_who_never_starts_gets_the_other_treatment_from_the_day_of_the_planned_start(simulate):
    waiting, landmark = replace(ARM, treatment="other_drug", wait=90.0), Outcome("pfs_at", 0.5, 12.0)
    instead = simulate(replace(waiting, not_started=0.25, instead="drug")).draws_of(landmark)
    treated, other = (simulate(replace(waiting, treatment=name)).draws_of(landmark) for name in ("drug", "other_drug"))
    at_once = simulate(replace(waiting, treatment="drug", wait=0.0)).draws_of(landmark)
    assert instead == pytest.approx(0.75 * other + 0.25 * treated, abs=1e-6)
    assert np.abs(at_once - treated).max() > 0.02


def test_a_response_after_the_data_cut_does_not_count(simulate):
    cut = [simulate(replace(ARM, response_by=by)).draws_of(COMPLETE).mean() for by in (None, 30.0, 2.0, 1.0)]
    # 20 g/L falling by 5 % a day are under 1 g/L from day 60 on: seen at the visits of day 84 and 112 at the latest
    assert cut[0] == cut[1] > 0.3 and cut[2:] == [0.0, 0.0]
    early = [simulate(replace(ARM, response_by=by)).draws_of(RESPONSE).mean() for by in (None, 2.0, 1.0)]
    # half of it on day 14: seen at the visits of day 28 and 56
    assert early[0] == pytest.approx(early[1], abs=1e-9) and early[2] == 0.0


def test_an_arm_of_n_patients_spreads_as_a_binomial_around_the_expectation_of_its_draw(simulate):
    trial = simulate()
    p = trial.draws_of(RESPONSE)
    arms = trial.predicted(RESPONSE).reshape(len(p), -1)
    assert arms.mean(axis=1) == pytest.approx(p, abs=0.06)
    assert arms.var(axis=1).mean() == pytest.approx((p * (1 - p)).mean() / 60, rel=0.15)


def test_kaplan_meier_is_unbiased_under_drop_out_and_right_by_hand(simulate):
    at, estimate = kaplan_meier(np.array([[2.0, 5.0, 4.0, 9.0]]), np.array([[9.0, 3.0, 9.0, np.inf]]))
    assert at.tolist() == [[2.0, 3.0, 4.0, 9.0]] and estimate[0] == pytest.approx([0.75, 0.75, 0.375, 0.0])
    assert step_at(at, estimate, 3.5) == pytest.approx([0.75]) and step_at(at, estimate, 1.0) == pytest.approx([1.0])
    leaving = simulate(replace(ARM, n=200, drop_out_per_year=0.5))
    landmark = Outcome("os_at", 0.5, 12.0)
    assert leaving.predicted(landmark).mean() == pytest.approx(leaving.draws_of(landmark).mean(), abs=0.01)
    stay = simulate(replace(ARM, n=200)).predicted(landmark)
    assert leaving.predicted(landmark).std() > stay.std()


def test_the_mix_decides_who_is_in_the_arm(simulate, population):
    arm = replace(ARM, treatment="other_drug", mix={"fast": Shares((1.0, 0.0), (0.25, 0.75))})
    other, death = hazards(population)
    g, day = site(population, "g"), 3.0 * MONTH
    expected = 0.25 * (visit_of_progression(np.e * g) > day) + 0.75 * (visit_of_progression(g) > day)
    assert simulate(arm, patients=16).draws_of(Outcome("pfs_at", 0.5, 3.0)) == pytest.approx(
        expected * np.exp(-(other + death) * day), abs=1e-4
    )


def test_covariates_are_drawn_in_their_shares_and_within_their_limits():
    mix = {
        "iss": Shares((1.0, 2.0, 3.0), (0.25, 0.5, 0.25)),
        "age": Spread(63.0, 9.0, 50.0, 70.0),
        "sex": Constant("male"),
    }
    people = covariates_at(mix, sliced_hypercube(np.random.default_rng(1), 4, 10, 3))
    assert [sum(p["iss"] == k for p in people) for k in (1.0, 2.0, 3.0)] == [10, 20, 10]
    assert all(4 <= sum(p["iss"] == 2.0 for p in people[first : first + 10]) <= 6 for first in (0, 10, 20, 30))
    ages = np.array([p["age"] for p in people])
    assert ages.min() >= 50.0 and ages.max() <= 70.0 and {p["sex"] for p in people} == {"male"}
    low, high = -13.0 / 9.0, 7.0 / 9.0
    cut = NormalDist()
    mean = 63.0 + 9.0 * (cut.pdf(low) - cut.pdf(high)) / (cut.cdf(high) - cut.cdf(low))
    assert ages.mean() == pytest.approx(mean, abs=0.2)
    assert covariates_at({}, np.zeros((4, 1))) == ({}, {}, {}, {})


def test_differences_between_trials_widen_the_prediction_and_not_the_expectation(simulate, population):
    alone = simulate(replace(ARM, n=400))
    together = simulate(replace(ARM, n=400), between_trial={"p_non": np.full(24, 1.0)})
    assert together.between_trial == ("p_non",)
    assert together.draws_of(RESPONSE) == pytest.approx(alone.draws_of(RESPONSE), abs=1e-9)
    assert together.predicted(RESPONSE).std() > 1.3 * alone.predicted(RESPONSE).std()
    with pytest.raises(ModelError, match="between_trial.*'kill'"):
        simulate(between_trial={"kill": 0.3})


def test_a_population_file_may_hold_differences_between_trials_by_the_first_part_of_a_name(population):
    tree = population.tree.copy()
    tree["trial_effects"] = xr.DataTree(xr.Dataset({"p": (("chain", "draw"), np.arange(24.0).reshape(2, 12))}))
    found = trial_effects_of(replace(population, tree=tree))
    model, taken = population.model, np.array([3, 20])
    named = effects_on_arm(model, replace(ARM, treatment="drug"), {"p_non": found["p"]}, taken)
    assert named == {model.parameter_names.index("p_non"): pytest.approx([3.0, 20.0])}
    two = SimpleNamespace(name="m", parameter_names=("f_drug", "f_pill"), treatment_names=("drug", "pill"))
    arm = replace(ARM, treatment="pill")
    assert list(effects_on_arm(two, arm, {"f": found["p"]}, taken)) == [1]
    assert trial_effects_of(population) == {}


def test_a_landmark_has_the_interval_that_its_curve_has_in_that_month(simulate):
    trial = simulate(replace(ARM, outcomes=(Outcome("pfs_at", 0.5, month=12.0),)))
    row, curve = outcome_rows(trial, in_sample=False)[0], trial.curve("pfs")
    at = list(curve["month"]).index(12.0)
    for end in ("low", "high"):
        assert row[f"expectation_{end}"] == pytest.approx(curve[end][at], abs=1e-12)
        assert row[f"predicted_{end}"] == pytest.approx(curve[f"predicted_{end}"][at], abs=1e-12)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_nearly_the_same(simulate):
    first, again, other = simulate(), simulate(), simulate(random_seed=2)
    assert np.array_equal(first.predicted(RESPONSE), again.predicted(RESPONSE))
    assert not np.array_equal(first.predicted(RESPONSE), other.predicted(RESPONSE))
    assert first.draws_of(RESPONSE).mean() == pytest.approx(other.draws_of(RESPONSE).mean(), abs=0.03)


def test_a_model_that_codes_no_response_has_progression_and_survival(tmp_path):
    plain = trial_population(tmp_path / "plain", coder=False)
    found = virtual_trial(plain, ARM, random_seed=1, draws=24, patients=8, months=12.0)
    assert found.draws_of(RESPONSE) is None and found.predicted(COMPLETE) is None
    assert [o.name for o in found.outcomes] == [
        "pfs_median",
        "os_median",
        "pfs_at_6",
        "pfs_at_12",
        "os_at_6",
        "os_at_12",
    ]


def test_what_cannot_be_simulated_is_refused_in_words(simulate):
    with pytest.raises(ModelError, match="a multiple of 4"):
        simulate(patients=7)
    with pytest.raises(ModelError, match="unknown treatment.*'nothing'"):
        simulate(replace(ARM, treatment="nothing"))
    with pytest.raises(ModelError, match="1 to 120 months"):
        simulate(months=300.0)


def test_a_trial_that_nobody_can_be_in_is_refused(simulate, monkeypatch):
    def nobody(labs):
        no = np.zeros(len(labs.screening["m_protein"]), dtype=bool)
        return no, no, no

    monkeypatch.setattr("bayestwin.prognosis.trials.coder_of", lambda model: Coder(("m_protein",), (), nobody))
    with pytest.raises(
        FitError, match="arm arm.*nobody is in the trial in 100.0% of the batches.*0.0% of all are measurable.*the mix"
    ):
        simulate()


def test_a_batch_in_which_nobody_is_measurable_asks_for_more_patients(simulate, monkeypatch):
    def few(labs):
        yes = np.random.default_rng(1).random(len(labs.screening["m_protein"])) < 0.3
        return yes, yes, yes

    monkeypatch.setattr("bayestwin.prognosis.trials.coder_of", lambda model: Coder(("m_protein",), (), few))
    with pytest.raises(FitError, match="batches.*of all are measurable.*more patients of each draw"):
        simulate(patients=4)


def test_assay_error_is_a_factor_on_the_sd_of_the_labs_alone(simulate, population):
    """With the model's 0.0001 g/L a responder's rise is none. With an error as large as the level, labs rise by chance,
    and fewer are free of progression; chances of death are what they were."""
    death, free = hazards(population)[1], {}
    for factor in (0.0, 1.0, 1e5):
        trial = simulate(replace(ARM, assay_error=factor), patients=200)
        free[factor] = trial.draws_of(Outcome("pfs_at", 0.5, 12.0)).mean()
        alive = trial.draws_of(Outcome("os_at", 0.5, 12.0))
        assert alive == pytest.approx(np.exp(-death * 12.0 * MONTH), abs=1e-5)
    assert free[1.0] == pytest.approx(free[0.0], abs=0.01) and free[1e5] < free[1.0] - 0.1
