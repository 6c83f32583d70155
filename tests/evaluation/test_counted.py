"""What is counted and graded beyond the twin: forecast, report, predictive checks, scores, rivals, the cross-check."""

from types import SimpleNamespace

import jax
import matplotlib
import numpy as np
import pytest
from counted_model import VALUES, by_quadrature, counted_draws, counted_record, mass, write_counted_model
from level_model import as_population
from scipy.special import expit

from bayestwin.dosing import Policy, Rule
from bayestwin.dynamics import NO_GRADIENT
from bayestwin.errors import FitError, ModelError
from bayestwin.evaluation.kept_forecasts import score_kept
from bayestwin.evaluation.pooled_surprise import pooled_shifts, surprise_rows, swapped_samples
from bayestwin.evaluation.predictions import predictions_frame
from bayestwin.evaluation.predictions_file import read_predictions
from bayestwin.evaluation.predictive_checks import npde, vpc
from bayestwin.evaluation.replay import replay
from bayestwin.evaluation.replicates import replicates
from bayestwin.evaluation.rivals import fit_rivals, rival_rows
from bayestwin.evaluation.scores import score_predictions
from bayestwin.evaluation.verification.moments import forecast_moments
from bayestwin.evaluation.verification.one_patient import verify_patient
from bayestwin.plots.predictive_checks import plot_vpc
from bayestwin.population.crosscheck.program import refuse_unsupported
from bayestwin.prognosis import forecast
from bayestwin.prognosis.particles import forecast_draws
from bayestwin.prognosis.plan import make_plans
from bayestwin.prognosis.policy import follow_policy
from bayestwin.prognosis.result import QUANTILES, Course
from bayestwin.records import Cohort
from bayestwin.report import write_report
from bayestwin.report.inputs import gather_report_input
from bayestwin.specification import load_model
from bayestwin.twin import rebuild_twin, start_twin, update_twin

matplotlib.use("agg")
SIZES = {"particles": 800, "islands": 4, "population_draws": 100}
MARKER = (1.6, 0.9, 1.4, 0.2, -0.4, -0.9)


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    model = load_model(write_counted_model(tmp_path_factory.mktemp("models") / "counted"))
    return as_population(model, counted_draws())


def chances(output, severity, values):
    """P of each value under the mean of the population draws, for patients whose severity is known."""
    p = [by_quadrature(counted_draws(), severity, [(output, v)])[3][0] for v in values]
    return np.array(p)


@pytest.fixture(scope="module")
def twin(counted):
    return rebuild_twin(counted, counted_record(marker=MARKER), random_seed=3, **SIZES)[0]


def cohort_of(population, n=40, seed=1):
    """Patients as the population says, with three grades, three counts and one answer each."""
    from bayestwin.individual.residuals import draw_observation

    model, rng, found = population.model, np.random.default_rng(seed), []
    hyper, _ = population.hyper_draws(100)
    for k in range(n):
        m = rng.integers(100)
        severity = float(hyper.typical[m, 0] + hyper.omega[m, 0] * rng.standard_normal())
        values = []
        for output in ("grade", "infections", "answer", "grade", "infections", "grade", "infections"):
            eta = {"grade": severity, "infections": np.exp(severity), "answer": 1.0 - severity}[output]
            at = model.observation_index[output]
            values.append((output, float(draw_observation(model, at, rng, eta, np.asarray(hyper.sigma[m])))))
        found.append(counted_record(values, key=f"V-{k}"))
    return Cohort(tuple(found))


@pytest.fixture(scope="module")
def cohort(counted):
    return cohort_of(counted)


@pytest.fixture(scope="module")
def made(counted, cohort):
    return replicates(counted, cohort, random_seed=2, count=100)


def test_the_check_of_grades_is_the_share_of_each_and_that_of_counts_its_percentiles(made):
    grades, counts = vpc(made, "grade"), vpc(made, "infections")
    assert set(grades["line"]) == {f"share of {g}" for g in range(4)} and set(counts["line"]) == {"10", "50", "90"}
    for column in ("observed", "median"):
        assert grades.groupby("bin")[column].sum().to_numpy() == pytest.approx(1.0, abs=0.12)
    expected = chances("grade", (), range(4))
    middle = grades.groupby("line")["median"].mean()
    assert middle.to_numpy() == pytest.approx(expected, abs=0.05)
    for table in (grades, counts):
        outside = (table["observed"] < table["low"]) | (table["observed"] > table["high"])
        assert outside.mean() < 0.35
    axes = plot_vpc(grades, probability=0.9, label="grade", unit="share")
    assert "share of 3. Bands" in axes.get_xlabel() and "%" not in axes.get_xlabel().split("Bands")[0]
    of = made.labs.groupby("output")["pred"].mean()
    typical = counted_draws()["severity_pop"]
    assert of["answer"] == pytest.approx(expit(1.0 - typical).mean(), abs=1e-9)
    grades = [sum(v * mass(counted_draws(), m, "grade", v, typical[m]) for v in range(4)) for m in range(100)]
    assert of["grade"] == pytest.approx(np.mean(grades), abs=1e-9)


def test_a_population_with_other_cut_points_leaves_the_bands(made, counted, cohort):
    wrong = as_population(counted.model, counted_draws() | {"cut_1_grade": counted_draws()["cut_1_grade"] - 2.0})
    table = vpc(replicates(wrong, cohort, random_seed=2, count=50), "grade")
    outside = (table["observed"] < table["low"]) | (table["observed"] > table["high"])
    assert outside.mean() > 0.4


def test_what_cannot_be_done_with_counts_is_refused_and_says_what_to_do(made, counted, cohort):
    with pytest.raises(FitError, match="output grade: what is counted or graded cannot be prediction-corrected"):
        vpc(made, "grade", prediction_corrected=True)
    with pytest.raises(FitError, match="output infections: .*cannot be given NPDE.*Look at its VPC"):
        npde(made, "infections", random_seed=1)
    with pytest.raises(ModelError, match="cannot say what is counted or graded in PyMC.*infections, grade, answer"):
        refuse_unsupported(counted.model, cohort)


def test_rivals_forecast_what_is_measured_and_leave_the_rest_to_the_twin(counted, cohort):
    training = [counted_record(VALUES, key=f"T-{k}", marker=np.array(MARKER) + 0.3 * k) for k in range(6)]
    rival = fit_rivals(counted.model, counted, Cohort(tuple(training)), names=("last_value",))["last_value"]
    rows = rival_rows(rival, counted_record(VALUES, marker=MARKER), random_seed=1)
    assert {row["output"] for row in rows} == {"marker"} and len(rows) == len(MARKER)
    own = SimpleNamespace(name="counts", observations=counted.model.observations[:3], discrete=(0, 1, 2))
    with pytest.raises(FitError, match="rivals forecast what is measured.*infections, grade, answer"):
        fit_rivals(own, counted, Cohort(tuple(training)), names=("last_value",))


def test_a_replay_of_counts_is_scored_and_comes_back_from_its_file(counted, tmp_path):
    rows, _ = replay(counted, counted_record(), random_seed=1, **SIZES)
    assert [row["output"] for row in rows] == [output for output, _ in VALUES]
    assert all(0 <= row["pit"] <= 1 and row["scale"] == "natural" and row["q50"] % 1 == 0 for row in rows)
    predictions_frame(rows).to_csv(tmp_path / "predictions.csv", index=False)
    frame = read_predictions(tmp_path / "predictions.csv").frame
    assert len(frame) == len(VALUES)
    scored = score_predictions(frame, random_seed=1)
    assert set(scored["output"]) == {"infections", "grade", "answer"} and scored["value"].notna().all()


def test_pits_of_counts_are_uniform_where_the_forecast_is_right_and_ties_do_not_show(counted, cohort):
    start, pits = start_twin(counted, counted_record((), key="V-0"), random_seed=1, **SIZES), []
    for k, record in enumerate(cohort):
        alike = counted_record([(lab.output, lab.value) for lab in record.labs[:2]], key="V-0")
        pits += [s.pit for s in update_twin(start, alike, random_seed=k)[1].surprise]
    low, high = np.quantile(pits, [0.25, 0.75])
    assert 0.1 < low < 0.4 and 0.6 < high < 0.9 and abs(np.mean(pits) - 0.5) < 0.11  # three SDs of 80
    assert len(np.unique(np.round(pits, 6))) == len(pits)


def test_a_forecast_and_its_report_hold_whole_numbers_and_say_what_was_expected(twin, counted, tmp_path):
    prognosis = forecast(twin, ("watch",), horizon=30.0, random_seed=1, over_rho=False)
    courses = {course.output: course for course in prognosis.row("watch").courses}
    for output, top in (("infections", 200), ("grade", 3), ("answer", 1)):
        q = courses[output].quantiles
        assert (q == np.round(q)).all() and q.min() >= 0 and q.max() <= top
        assert 0 <= courses[output].samples.min() and courses[output].samples.max() <= top
    assert (courses["answer"].samples % 1 != 0).any()  # the chance, not a value
    after, _ = update_twin(twin, counted_record((*VALUES, ("grade", 3)), marker=MARKER), random_seed=4)
    again = forecast(after, ("watch",), horizon=30.0, random_seed=1, over_rho=False)
    report = write_report(gather_report_input(after, again, population=None, previous=(twin, prognosis)), tmp_path)
    assert "in 100 expected exactly this" in report.html and "infections" in report.html
    new = [lab for lab in report.document["labs"] if lab["name"] == "grade"][-1]
    assert new["pit"][0] < new["pit"][1] and "unit error" not in new["surprise_shown"]


def test_the_next_lab_has_the_mean_and_variance_of_quadrature(twin):
    found = forecast_moments(twin, [("grade", 9.0), ("infections", 9.0), ("answer", 9.0)])
    plain = rebuild_of(twin)
    for output, top in (("grade", 3), ("answer", 1), ("infections", 60)):
        p = np.array(by_quadrature(counted_draws(), VALUES, [(output, v) for v in range(top + 1)])[3])
        mean = p @ np.arange(top + 1)
        by_island = forecast_moments(plain, [(output, 9.0)])[f"{output} at 9"].first
        error = np.std(by_island, ddof=1) / np.sqrt(len(by_island))
        assert np.mean(by_island) == pytest.approx(mean, abs=4 * max(error, 0.02 * mean))
    assert set(found) == {"grade at 9", "infections at 9", "answer at 9"}


def rebuild_of(twin):
    """A twin of the same patient without the marker, whose posterior is known by quadrature."""
    population = as_population(twin.model, counted_draws())
    return rebuild_twin(population, counted_record(), random_seed=3, **SIZES)[0]


def test_kept_forecasts_of_counts_are_scored_by_their_rounded_quantiles(counted):
    from scipy import stats

    law, now = stats.poisson(4.0), 10.0
    q = law.ppf(QUANTILES)
    course = Course("infections", now + np.array([0.0, 50.0]), np.tile(q[:, None], 2), np.zeros((12, 2)))
    plan = SimpleNamespace(name="", start=0.0, new=False, policy=None, sequence=())
    row = SimpleNamespace(
        plan=SimpleNamespace(**{**vars(plan), "name": "watch", "new": False}), refused="", courses=(course,)
    )
    kept = SimpleNamespace(model=counted.model, now=now, rows=(row,))
    from bayestwin.records import ClinicalEvent, Lab, PatientRecord

    pits = []
    for y in range(12):
        lab = Lab(f"i{y}", "infections", 30.0, float(y), 30.0)
        record = PatientRecord("K-1", labs=(lab,), events=(ClinicalEvent("line_of_therapy", 0.0, 0.0, "watch"),))
        (scored,) = score_kept(kept, record)
        below, at = law.cdf(y - 1), law.cdf(y)
        assert below - 0.12 < scored["pit"] < at + 0.12, y
        exact = sum((law.cdf(j) - (j >= y)) ** 2 for j in range(40))
        assert scored["crps"] == pytest.approx(exact, abs=0.32)  # seven quantiles of a small count
        pits.append(scored["pit"])
    assert pits == sorted(pits)
    fours = [Lab(f"i{n}", "infections", 30.0, 4.0, 30.0) for n in range(30)]
    events = (ClinicalEvent("line_of_therapy", 0.0, 0.0, "watch"),)
    drawn = [row["pit"] for row in score_kept(kept, PatientRecord("K-1", labs=tuple(fours), events=events))]
    assert min(drawn) < 0.45 and max(drawn) > 0.57  # between both sides of the value


def test_pooled_surprise_leaves_swaps_of_counts_alone_and_stands_a_forecast_without_spread(counted):
    rows = []
    for key in ("S-1", "S-2"):
        twin = start_twin(counted, counted_record((), key=key), random_seed=1, **SIZES)
        value = 60 if key == "S-1" else 0
        record = counted_record([("infections", value)], key=key)
        rows += surprise_rows(update_twin(twin, record, random_seed=1, population=counted)[0])
    assert [row["counted"] for row in rows] == [True, True]
    rows = [row | {"batch": "b", "pit": 1e-4 if row["observed"] == 0 else 1 - 1e-4} for row in rows]
    turned = [row | {"sd": 1.0, "mean": 60.0 - row["observed"]} for row in rows]
    assert not swapped_samples([row | {"counted": False} for row in turned]).empty and swapped_samples(turned).empty
    without_spread = [row | {"sd": 0.0 if k else 1.0} for k, row in enumerate(rows)]
    assert np.isfinite(pooled_shifts(without_spread, random_seed=1)["shift"]).all()


def test_every_way_of_arriving_gives_the_batch_posterior(counted):
    ways = ("lab by lab", "tenfold error, corrected", "retracted")
    found = verify_patient(counted, counted_record(VALUES[1:5]), random_seed=1, ways=ways, output="grade", **SIZES)
    assert found.equal, found.sentence
    said = {row.way: row.says for row in found.rows} if hasattr(found.rows[0], "way") else str(found.rows)
    assert "arrived as 0" in str(said) or "arrived as 3" in str(said)


def test_a_policy_is_decided_by_the_grade_as_it_is_seen(twin):
    policy = Policy((Rule("act", "grade", above=3, while_on="watch"),), every="7 day", start="watch")
    with jax.enable_x64(True):
        draws = forecast_draws(twin, 0.0, np.random.default_rng(1))
        plan = make_plans(twin.model, twin.record, {"row": policy}, twin.time, applied=twin.applied, span=60.0)[0]
        how = {"counts_on": (), "paths": 1, "rng": np.random.default_rng(2), "accuracy": NO_GRADIENT}
        times, decides = np.array([7.0, 14.0, 21.0]), np.ones(3, dtype=bool)
        found = follow_policy(twin, draws, plan, times, decides, ("grade",), **how)
    seen, on = found.labs["grade"][0], found.on[0]
    act = twin.model.treatment_names.index("act")
    assert set(np.unique(seen)) <= {0.0, 1.0, 2.0, 3.0} and 0.01 < (seen == 3).mean() < 0.5
    assert ((on[:, 1] == act) == (seen[:, 0] == 3)).all()
