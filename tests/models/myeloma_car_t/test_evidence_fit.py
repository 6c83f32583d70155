"""Published arms as a likelihood: priors as standard normals, outcomes of one arm as one data set, trials left out."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from bayestwin.population import load_population
from bayestwin.specification import HalfNormal, LogitNormal, LogNormal, Normal, load_model, model_folder, read_evidence
from bayestwin.specification.load import model_part

MODEL = load_model("myeloma_car_t")
FOLDER = model_folder("myeloma_car_t")
FIT, SAMPLING = model_part(MODEL, "evidence_fit"), model_part(MODEL, "evidence_sampling")
ROWS = model_part(MODEL, "treatments").ROWS
ARMS = {arm.name: arm for arm in read_evidence(FOLDER / "evidence.toml", MODEL)}


@pytest.fixture(autouse=True)
def sixty_four_bits():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(
    "prior, law",
    [
        (LogNormal(median=3.0, sd_log=0.5), stats.lognorm(0.5, scale=3.0)),
        (Normal(mean=-1.0, sd=2.0), stats.norm(-1.0, 2.0)),
        (HalfNormal(sd=0.7), stats.halfnorm(scale=0.7)),
    ],
    ids=["lognormal", "normal", "half-normal"],
)
def test_a_standard_normal_becomes_its_prior(prior, law):
    z = np.array([-2.5, -1.0, 0.0, 0.7, 3.0])
    assert_allclose(np.asarray(FIT.from_normal(prior, jnp.asarray(z))), law.ppf(stats.norm.cdf(z)), rtol=1e-7)
    median = FIT.from_normal(LogitNormal(median=0.2, sd_logit=1.0), jnp.asarray([0.0, 1.0]))
    assert_allclose(np.asarray(median), [0.2, 1 / (1 + 4 * np.exp(-1.0))], rtol=1e-9)


def patients(count=4000, seed=1):
    """Yes or no of each patient: response, CR within it, PFS at two times, responders lasting longer."""
    rng = np.random.default_rng(seed)
    response = rng.random(count) < 0.6
    complete = response & (rng.random(count) < 0.5)
    months = rng.exponential(np.where(response, 14.0, 5.0))
    return response, complete, months > 12.0, months > 18.0


def test_the_law_of_an_arm_is_the_covariance_of_its_patients():
    arm = replace(ARMS["karmma_3_ide_cel"], n=200)
    names = ("response", "complete_response", "pfs_at_12", "pfs_at_18")
    arm = replace(arm, outcomes=tuple(replace(arm.outcome(n), mark="verified") for n in names))
    each = dict(zip(("response", "complete_response", "pfs@12", "pfs@18"), (x.astype(float) for x in patients())))
    found = {name: jnp.asarray(x.mean()) for name, x in each.items()}
    for a in each:
        for b in each:
            found[f"{a} & {b}"] = jnp.asarray((each[a] * each[b]).mean())
    observed, mean, covariance, _ = FIT.law_of_arm(arm, found)
    assert_allclose(np.asarray(observed), [0.71, 0.44, 0.55, 0.41])
    counted = np.sqrt([1.0, 1.0, FIT.CENSORED, FIT.CENSORED])
    by_patients = np.cov(np.stack(list(each.values())), bias=True) / 200 * counted[:, None] * counted
    shrunk = FIT.SHRUNK * by_patients + (1 - FIT.SHRUNK) * np.diag(np.diag(by_patients))
    assert_allclose(np.asarray(covariance), shrunk + FIT.NODE_ERROR**2 * np.eye(4), atol=1e-9)
    doubled = replace(arm, outcomes=(replace(arm.outcomes[0], mark="memory"), *arm.outcomes[1:]))
    _, _, wider, _ = FIT.law_of_arm(doubled, found)
    wider = np.asarray(wider) - FIT.NODE_ERROR**2 * np.eye(4)
    plain = np.asarray(covariance) - FIT.NODE_ERROR**2 * np.eye(4)
    assert_allclose(wider[0], plain[0] * [4.0, 2.0, 2.0, 2.0], rtol=1e-9)
    assert_allclose(wider[1:, 1:], plain[1:, 1:], rtol=1e-9)


def test_a_median_says_that_half_are_free_of_progression_then():
    arm = ARMS["karmma_ide_cel"]
    assert [FIT._name(FIT._key(o)) for o in FIT.fitted_outcomes(arm)] == ["response", "complete_response", "pfs@8.8"]
    chances = {"response": 0.73, "complete_response": 0.33, "pfs@8.8": 0.5}
    found = {k: jnp.asarray(v) for k, v in chances.items()}
    found |= {f"{a} & {b}": found[a] * found[b] for a in chances for b in chances}
    observed, mean, _, names = FIT.law_of_arm(arm, found)
    assert names == ["response", "complete_response", "pfs@8.8"]
    assert_allclose(np.asarray(observed), np.asarray(mean))


def test_survival_and_what_is_only_shown_are_not_fitted():
    for arm in ARMS.values():
        assert not [o for o in FIT.fitted_outcomes(arm) if o.what.startswith("os") or o.use == "shown"]
    assert FIT.fitted_outcomes(ARMS["maia_drd"]) == [] and FIT.fitted_outcomes(ARMS["teclistamab_pooled"]) == []
    months = [o.name for o in FIT.fitted_outcomes(ARMS["cartitude_1"])]
    assert "pfs_at_36" in months and "pfs_at_60" not in months


@pytest.fixture(scope="module")
def evidence():
    return FIT.Evidence(MODEL, list(ARMS.values()), nodes=2, seed=1)


def test_treatments_of_a_class_lie_around_its_median_and_trials_depart(evidence):
    at, z = evidence.layout.at, np.zeros(evidence.layout.size)
    values = evidence.values(jnp.asarray(z))
    assert float(values["kS_elranatamab_pop"]) == pytest.approx(FIT.SITES["kS"][1])
    assert float(values["p_nonresponse_kd_pop"]) == pytest.approx(FIT.SITES["p_nonresponse"][1])
    z[at["class_f"].start + FIT.GROUPS.index("bispecific")] = 1.0
    moved = evidence.values(jnp.asarray(z))
    changed = {n for n in values if not np.array_equal(np.asarray(values[n]), np.asarray(moved[n]))}
    assert changed == {f"f_{n}_pop" for n, row in ROWS.items() if row.group == "bispecific"}
    z[at["d"].start + 3] = 1.0
    departed = np.asarray(evidence.values(jnp.asarray(z))["trial_f"])
    assert departed[3] == pytest.approx(float(moved["tau_f"])) and np.count_nonzero(departed) == 1


def test_a_new_setting_departs_from_the_average_of_trials(evidence):
    z = np.zeros((4000, evidence.layout.size))
    sites = SAMPLING.new_settings(evidence, z, jax.random.key(1))
    tau = SAMPLING.between_trials(evidence, z)
    assert np.log(sites["g_pop"]).std() == pytest.approx(float(tau["tau_g"][0]), rel=0.05)
    logit = [SAMPLING.logit(sites[f"f_{n}_pop"]) for n in ("ide_cel", "rd")]
    plain = [np.log(sites[f"f_{n}_pop"] / (1 - sites[f"f_{n}_pop"])) for n in ("ide_cel", "rd")]
    assert plain[0].std() == pytest.approx(float(tau["tau_f"][0]), rel=0.05)
    assert abs(np.corrcoef(plain)[0, 1]) < 0.06 and abs(plain[0].mean() - np.log(0.003 / 0.997)) < 0.04
    assert min(np.min(x) for x in logit) >= np.log(SAMPLING.NEAREST / (1 - SAMPLING.NEAREST)) - 1e-9


@pytest.mark.parametrize("steps", [1, 4])
def test_the_smoother_is_exact_where_outcomes_are_linear(steps):
    """Two outcomes linear in three standard normals: the posterior is known."""
    rng, slope = np.random.default_rng(5), np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -1.0]])
    observed, covariance = np.array([1.2, -0.4]), np.array([[0.2, 0.05], [0.05, 0.1]])
    z = rng.standard_normal((40_000, 3))
    for _ in range(steps):
        z = SAMPLING.assimilate(z, z @ slope.T, observed, covariance, 1.0 / steps, rng)
    exact = np.linalg.inv(np.eye(3) + slope.T @ np.linalg.solve(covariance, slope))
    mean = exact @ slope.T @ np.linalg.solve(covariance, observed)
    assert np.abs(z.mean(axis=0) - mean).max() < 0.02
    assert np.abs(np.cov(z.T) - exact).max() < 0.02


def test_the_shipped_population_rests_on_these_arms():
    population = load_population(FOLDER / "population.nc", MODEL)
    known = population.attributes
    assert known["method"] == "evidence" and known["left_out"] == "" and "no patient's data" in known["method_note"]
    assert population.diagnostics.status == "approximate" and "ensemble smoother" in str(population.diagnostics)


@pytest.mark.validate
def test_few_virtual_patients_say_nearly_what_many_say():
    """Chances of the arms at the prior's middle with 64 and 1,024 patients: within two points on average."""
    few, many = (
        jax.jit(FIT.Evidence(MODEL, list(ARMS.values()), nodes=n, seed=1).chances)(
            jnp.zeros(FIT.Evidence(MODEL, list(ARMS.values()), nodes=2).layout.size)
        )
        for n in (64, 1024)
    )
    gaps = [float(a[k] - b[k]) for a, b in zip(few, many) for k in a if "&" not in k]
    assert np.sqrt(np.mean(np.square(gaps))) < 0.02 and abs(np.mean(gaps)) < 0.01
