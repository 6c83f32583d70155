"""Published arms as a likelihood: priors as standard normals, outcomes of one arm as one data set, trials left out."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from bayestwin.population import load_population
from bayestwin.population.hyper import hyper_sites
from bayestwin.specification import HalfNormal, LogitNormal, LogNormal, Normal, load_model, model_folder, read_evidence
from bayestwin.specification.load import model_part

MODEL = load_model("myeloma_car_t")
FOLDER = model_folder("myeloma_car_t")
FIT, SAMPLING, HIERARCHY = (model_part(MODEL, f"evidence_{what}") for what in ("fit", "sampling", "hierarchy"))
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
    arm = replace(ARMS["karmma_ide_cel"], outcomes=ARMS["karmma_ide_cel"].outcomes[:3])
    assert [FIT._name(FIT._key(o)) for o in FIT.fitted_outcomes(arm)] == ["response", "complete_response", "pfs@8.8"]
    chances = {"response": 0.73, "complete_response": 0.33, "pfs@8.8": 0.5}
    found = {k: jnp.asarray(v) for k, v in chances.items()}
    found |= {f"{a} & {b}": found[a] * found[b] for a in chances for b in chances}
    observed, mean, _, names = FIT.law_of_arm(arm, found)
    assert names == ["response", "complete_response", "pfs@8.8"]
    assert_allclose(np.asarray(observed), np.asarray(mean))


def test_what_is_only_shown_is_not_fitted():
    for arm in ARMS.values():
        assert not [o for o in FIT.fitted_outcomes(arm) if o.use == "shown"]
    assert FIT.fitted_outcomes(ARMS["maia_drd"]) == [] and FIT.fitted_outcomes(ARMS["teclistamab_pooled"]) == []
    months = [o.name for o in FIT.fitted_outcomes(ARMS["cartitude_1"])]
    assert {"pfs_at_36", "os_at_36"} <= set(months) and not {"pfs_at_60", "os_median"} & set(months)


def test_pairs_of_outcomes_are_those_of_each_virtual_patient(evidence):
    """Chances of one virtual patient whose outcomes are independent but for the order of events: worked by hand."""
    arm = replace(ARMS["cartitude_1"], counted_from="infusion")
    days = np.arange(0.0, 1600.0, 28.0)
    fall = {"pfs": 1.0 - days / 2000.0, "os": 1.0 - days / 4000.0}
    one = {"response": 0.8, "complete_response": 0.5} | fall
    one |= {
        f"{a}_and_{b}": one[r] * fall[b]
        for a, r in (("response", "response"), ("complete", "complete_response"))
        for b in fall
    }
    nodes = {k: jnp.asarray(np.asarray(v)[None]) for k, v in one.items()}
    unit = SimpleNamespace(wait=0.0)
    found = {k: float(v) for k, v in FIT._arm_outcomes(arm, unit, nodes, days).items()}
    month = model_part(MODEL, "arms").MONTH
    visit = 28.0 * np.floor(12 * month / 28.0)
    assert found["pfs@12"] == pytest.approx(1 - visit / 2000.0)
    assert found["os@12"] == pytest.approx(1 - 12 * month / 4000.0)  # between two visits
    assert found["response & os@36"] == pytest.approx(0.8 * (1 - 36 * month / 4000.0))
    assert found["response & complete_response"] == 0.5
    assert found["pfs@12 & os@12"] == pytest.approx(found["pfs@12"])  # who is free of progression is alive
    assert found["pfs@36 & os@12"] == pytest.approx(found["pfs@36"])
    later = (1 - 36 * month / 4000.0) / (1 - 12 * month / 4000.0)
    assert found["pfs@12 & os@36"] == pytest.approx(found["pfs@12"] * later)


def test_a_marrow_sample_is_negative_where_it_sees_less_than_one_cell_in_100000():
    ways = model_part(MODEL, "arms").Marrow(np.array([0.0, -3.0]), np.array([0.8, 2.0]))
    at_the_limit = np.log(1e-5 / 0.3)
    found = np.asarray(ways.negative(jnp.asarray(0.3), jnp.asarray([at_the_limit, at_the_limit + 3.0])))
    assert_allclose(found, [[0.5, stats.norm.cdf(1.5)], [stats.norm.cdf(-3.75), 0.5]], rtol=1e-6)


@pytest.fixture(scope="module")
def evidence():
    return FIT.Evidence(MODEL, list(ARMS.values()), nodes=2, seed=1)


def test_a_treatment_and_a_departure_act_where_they_belong(evidence):
    at, x = evidence.layout.at, evidence.layout.middle()
    values = evidence.values(jnp.asarray(x))
    assert float(values["kS_elranatamab_pop"]) == pytest.approx(HIERARCHY.SITES["kS"].median)
    assert float(values["p_nonresponse_kd_pop"]) == pytest.approx(HIERARCHY.SITES["p_nonresponse"].median)
    x[at["h_f"].start + list(ROWS).index("rd")] += 1.0
    x[at["d"].start + 3] = 0.7
    moved = evidence.values(jnp.asarray(x))
    changed = {n for n in values if not np.array_equal(np.asarray(values[n]), np.asarray(moved[n]))}
    assert changed == {"f_rd_pop", "trial_f"}
    assert SAMPLING.logit(float(moved["f_rd_pop"])) == pytest.approx(HIERARCHY.SITES["f"].middle + 1.0)
    x[at["o"].start + 2] = 0.4
    assert np.count_nonzero(np.asarray(evidence.values(jnp.asarray(x))["trial_h"])) == 1
    departed = np.asarray(moved["trial_f"])
    assert departed[3] == 0.7 and np.count_nonzero(departed) == 1


def test_what_is_drawn_given_treatments_keeps_the_prior(evidence):
    """Geweke: of draws of (x, above) from the prior, above drawn anew given x has the same law, with x too."""
    rng, n = np.random.default_rng(4), 8_000
    x, above = HIERARCHY.drawn(evidence.layout, n, rng)
    again = HIERARCHY.drawn_given(evidence.layout, x, above, rng)
    assert set(again) == set(above)
    for name, before in above.items():
        assert stats.ks_2samp(before.ravel()[:n], again[name].ravel()[:n]).pvalue > 1e-4, name
    first = x[:, evidence.layout.at["h_f"].start]
    wide = [np.mean(a["tau_f"], axis=0) for a in (above, again)]  # T-cell products differ twice as much
    assert wide[1] == pytest.approx(HIERARCHY.SITES["f"].scales * np.sqrt(2 / np.pi), rel=0.05)
    assert [k for k, w in enumerate(HIERARCHY.WIDER) if w == 2.0] == [0, 1] and HIERARCHY.WIDER.sum() == 8.0
    names, h = list(ROWS), x[:, evidence.layout.at["h_f"]]
    added, base = (h[:, names.index(name)] for name in ("dara_rd", "rd"))
    own = HIERARCHY.CLASS_OF[names.index("dara_rd")]
    for a in (above, again):  # D-Rd is Rd and what an antibody adds
        assert np.mean(np.abs(added - base - a["class_f"][:, own]) / a["tau_f"][:, own]) == pytest.approx(
            np.sqrt(2 / np.pi), rel=0.03
        )
    joint = [np.mean(np.abs(first - a["class_f"][:, 0]) / a["tau_f"][:, 0]) for a in (above, again)]
    spread = [np.mean(np.abs(x[:, evidence.layout.at["d"]]).mean(axis=1) / a["trials_f"]) for a in (above, again)]
    assert joint[0] == pytest.approx(joint[1], rel=0.1) and spread[0] == pytest.approx(spread[1], rel=0.1)
    assert spread[1] == pytest.approx(np.sqrt(2 / np.pi), rel=0.05)


def test_what_no_arm_speaks_of_is_drawn_anew_and_keeps_the_prior(evidence):
    """Geweke: law kept, of a treatment by itself, of one to which drugs are added, of a combination; the rest stays."""
    rng, n, names = np.random.default_rng(6), 8_000, list(ROWS)
    every = evidence.arms
    kept = [k for k, arm in enumerate(every) if arm.trial not in ("CARTITUDE-1", "CASTOR", "DREAMM-7")]
    silent = HIERARCHY.Silent.of(every, kept, evidence.trials)
    assert {names[k] for k in np.flatnonzero(silent.treatments)} == {
        "cilta_cel", "teclistamab_dara", "elranatamab", "talquetamab", "belantamab_vd", "dara_vd", "isa_kd", "kd", "vd",
    }  # fmt: skip
    assert silent.arms.sum() == 5 and silent.trials.sum() == 3
    x, above = HIERARCHY.drawn(evidence.layout, n, rng)
    again = HIERARCHY.silent_given(evidence.layout, x, above, silent, rng)
    at, own = evidence.layout.at, HIERARCHY.CLASS_OF
    for q in HIERARCHY.SITES:
        for name in names:
            k = at[f"h_{q}"].start + names.index(name)
            assert (x[:, k] != again[:, k]).all() == silent.treatments[names.index(name)]
        new = (HIERARCHY.above_of(q, again[:, at[f"h_{q}"]]) - above[f"class_{q}"][:, own]) / above[f"tau_{q}"][:, own]
        assert stats.ks_2samp(x[:, at[f"h_{q}"]].ravel()[:n], again[:, at[f"h_{q}"]].ravel()[:n]).pvalue > 1e-4
        for k in range(len(names)):  # of every treatment, above its class and the one to which it was added
            assert stats.kstest(new[:, k], "norm").pvalue > 1e-5, (q, names[k])
        assert np.abs(np.cov(new.T) - np.eye(len(names))).max() < 5.0 * np.sqrt(2.0 / n)
    moved = (x != again).any(axis=0)
    for what, one in (("d", silent.arms), ("e", silent.trials), ("o", silent.trials)):
        assert list(moved[at[what]]) == list(one)
    assert np.mean(np.abs(again[:, at["d"]][:, silent.arms]) / above["trials_f"][:, None]) == pytest.approx(
        np.sqrt(2 / np.pi), rel=0.03
    )


def test_every_combination_names_what_it_is_without_the_added_drug():
    added = {name: row for name, row in ROWS.items() if ", " in row.label and not row.label.startswith("Standard")}
    doublets = {"kd", "rd", "vd", "pd"}  # one drug beside dexamethasone
    assert set(HIERARCHY.ADDED) == set(added) - doublets
    for base, _ in HIERARCHY.ADDED.values():
        assert base in ROWS and base not in HIERARCHY.ADDED


def test_what_is_added_to_other_treatments_says_what_it_adds_here(evidence):
    """Classes given treatments: of antibodies that took 3 from logit f of Vd and Pd, about 3 will be taken anywhere."""
    rng, names = np.random.default_rng(5), list(ROWS)
    x = np.tile(evidence.layout.middle(), (1000, 1))
    h = x[:, evidence.layout.at["h_f"]]
    for name, (base, of) in HIERARCHY.ADDED.items():
        shift = -3.0 if of == HIERARCHY.ANTIBODY else 0.0
        h[:, names.index(name)] = h[:, names.index(base)] + shift
    above = HIERARCHY.drawn(evidence.layout, 1000, rng)[1]
    for _ in range(10):
        above = HIERARCHY.drawn_given(evidence.layout, x, above, rng)
    found = above["class_f"].mean(axis=0)[HIERARCHY.CLASS_OF]
    assert found[names.index("dara_rd")] == pytest.approx(-3.0, abs=0.15)
    assert abs(found[names.index("krd")]) < 0.3 and abs(found[names.index("belantamab_vd")]) < 0.3


def test_the_spread_of_treatments_is_learnt_from_them():
    departures = 0.3 * stats.norm.ppf(np.linspace(0.005, 0.995, 100))[None].repeat(500, axis=0)
    tau = HIERARCHY.tau_given(departures, 0.7, np.random.default_rng(1))
    assert tau.mean() == pytest.approx(0.3, rel=0.03) and tau.std() == pytest.approx(0.3 / np.sqrt(200), rel=0.15)


def test_a_new_setting_departs_from_the_average_of_trials(evidence):
    x, n = np.tile(evidence.layout.middle(), (4000, 1)), 4000
    ensemble = SAMPLING.Ensemble(
        x,
        {f"trials_{name}": np.full(n, sd) for name, sd in (("f", 0.5), ("g", 0.2), ("h", 0.4))},
        np.zeros((n, 1)),
        0.0,
        0.0,
    )
    sites = SAMPLING.new_settings(evidence, ensemble, jax.random.key(1))
    assert np.log(sites["g_pop"]).std() == pytest.approx(0.2, rel=0.05)
    assert np.log(sites["h_disease_pop"]).std() == pytest.approx(0.4, rel=0.05)
    assert abs(np.corrcoef(np.log(sites["g_pop"]), np.log(sites["h_disease_pop"]))[0, 1]) < 0.06
    plain = [np.log(sites[f"f_{n}_pop"] / (1 - sites[f"f_{n}_pop"])) for n in ("ide_cel", "rd")]
    assert plain[0].std() == pytest.approx(0.5, rel=0.05)
    assert abs(np.corrcoef(plain)[0, 1]) < 0.06 and abs(plain[0].mean() - np.log(0.003 / 0.997)) < 0.04


def test_members_that_are_lost_are_replaced_by_others():
    good = np.array([True, False, True, False, True])
    kept = SAMPLING.replaced(good, np.random.default_rng(1))
    assert list(kept[good]) == [0, 2, 4] and set(kept[~good]) <= {0, 2, 4}


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


def steps_of(members, seed):
    """100 standard normals, of which 60 outcomes speak in a line of 45; ten steps. Mean and SD of the members (100,)
    in SDs of the exact posterior, and about its mean."""
    rng, slope = np.random.default_rng(seed), np.zeros((60, 100))
    for arm in range(15):  # four outcomes of an arm, near to each other
        near = rng.standard_normal((4, 3)) + 1.5 * rng.standard_normal(3)
        slope[4 * arm : 4 * arm + 4, 3 * arm : 3 * arm + 3] = near
    covariance = 0.04 * np.kron(np.eye(15), 0.5 + 0.5 * np.eye(4))
    d = slope @ rng.standard_normal(100) + rng.multivariate_normal(np.zeros(60), covariance)
    exact = np.linalg.inv(np.eye(100) + slope.T @ np.linalg.solve(covariance, slope))
    mean, sd = exact @ slope.T @ np.linalg.solve(covariance, d), np.sqrt(np.diag(exact))
    x = rng.standard_normal((members, 100))
    for _ in range(10):
        x = SAMPLING.assimilate(x, x @ slope.T, d, covariance, 0.1, rng)
    return (x.mean(axis=0) - mean) / sd, x.std(axis=0) / sd


def test_what_no_outcome_speaks_of_stays_at_its_prior():
    """400 members. Without the taper the 55 normals of which nothing speaks narrow by a seventh and drift by 0.4."""
    off, narrowed = np.mean([np.square(a) for a in zip(*(steps_of(400, seed) for seed in range(3)))], axis=1)
    silent, told = slice(45, None), slice(45)
    assert np.sqrt(np.mean(off[silent])) < 0.18 and 0.93 < np.sqrt(np.mean(narrowed[silent])) < 1.03
    assert np.sqrt(np.mean(off[told])) < 0.25 and 0.95 < np.sqrt(np.mean(narrowed[told])) < 1.1


def test_the_kill_of_cells_has_its_own_prior(evidence):
    """CAR-T cells about 0.12 a day, drugs 0.04, on average of many draws; drawn anew given all else, too."""
    rng, names, at = np.random.default_rng(8), list(ROWS), evidence.layout.at["h_kS"]
    x, above = HIERARCHY.drawn(evidence.layout, 20_000, rng)
    silent = HIERARCHY.Silent.of(evidence.arms, [0], evidence.trials)
    for h in (x[:, at], HIERARCHY.silent_given(evidence.layout, x, above, silent, rng)[:, at]):
        assert np.median(h[:, names.index("cilta_cel")]) == pytest.approx(np.log(0.12), abs=0.04)
        assert np.median(h[:, names.index("rd")]) == pytest.approx(np.log(0.04), abs=0.04)
    assert evidence.layout.middle()[at][names.index("ide_cel")] == pytest.approx(np.log(0.12))


def test_the_shipped_population_rests_on_these_arms():
    population = load_population(FOLDER / "population.nc", MODEL)
    known = population.attributes
    assert known["method"] == "evidence" and known["left_out"] == "" and "no patient's data" in known["method_note"]
    assert known["standard_errors_off"] < 1.5 and known["misfit"] < 2.5
    assert population.diagnostics.status == "approximate" and "ensemble smoother" in str(population.diagnostics)


UNREAD = (
    "loading_cd4_cd8_ratio_pop", "loading_cd39_monocytes_pop", "loading_nk_share_pop", "LDH_share_pop", "B2M_share_pop",
    "ferritin_release_pop", "CRP_release_pop", "sBCMA_floor_pop", "beta_B2M_level_egfr", "sigma_log_transgene",
)  # fmt: skip


def test_labs_that_no_arm_reads_stand_at_their_priors_in_the_shipped_population():
    population = load_population(FOLDER / "population.nc", MODEL)
    sites = population.tree["posterior"].to_dataset()
    priors = hyper_sites(MODEL)
    z = np.array([to_normal(priors[name], sites[name].values.ravel()) for name in UNREAD])
    assert np.sqrt(np.mean(z.mean(axis=1) ** 2)) < 0.12 and 0.95 < z.std(axis=1).mean() < 1.03


def to_normal(prior, value):
    """Standard normal at the quantile that a value has under its prior."""
    if isinstance(prior, LogNormal):
        return np.log(value / prior.median) / prior.sd_log
    if isinstance(prior, LogitNormal):
        return (SAMPLING.logit(value) - SAMPLING.logit(prior.median)) / prior.sd_logit
    if isinstance(prior, HalfNormal):
        return stats.norm.ppf(stats.halfnorm.cdf(value, scale=prior.sd))
    return (value - prior.mean) / prior.sd


@pytest.mark.validate
def test_few_virtual_patients_say_nearly_what_many_say():
    """Chances of the arms at the prior's middle with 64 and 1,024 patients: within two points on average."""
    of = {n: FIT.Evidence(MODEL, list(ARMS.values()), nodes=n, seed=1) for n in (64, 1024)}
    few, many = (jax.jit(e.chances)(jnp.asarray(e.layout.middle())) for e in of.values())
    gaps = [float(a[k] - b[k]) for a, b in zip(few, many) for k in a if "&" not in k]
    assert np.sqrt(np.mean(np.square(gaps))) < 0.02 and abs(np.mean(gaps)) < 0.01
