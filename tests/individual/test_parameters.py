"""Scales, covariates, the prior of individual parameters, response classes and their declared correlation."""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bayestwin.dynamics.names import parameters_at
from bayestwin.errors import RecordError
from bayestwin.individual import (
    class_log_probability,
    compile_record,
    covariate_terms,
    draw_prior,
    log_prior,
    natural_values,
    prior_mean,
    response_structure,
)
from bayestwin.individual.data import class_rows
from bayestwin.individual.parameters import to_natural, to_transformed
from bayestwin.records import ClinicalEvent, PatientRecord
from bayestwin.specification import load_model


@pytest.mark.parametrize(
    "scale, values", [("log", [1e-8, 0.3, 2e5]), ("logit", [1e-6, 0.2, 0.999]), ("identity", [-3.0, 0.0, 7.0])]
)
def test_natural_and_transformed_scales_are_inverse(scale, values):
    values = jnp.array(values)
    np.testing.assert_allclose(to_natural(to_transformed(values, scale), scale), values, rtol=1e-9)


def test_natural_values_stay_inside_their_range_for_absurd_transformed_ones():
    x = jnp.array([-1e6, -50.0, 50.0, 1e6])
    log, logit = to_natural(x, "log"), to_natural(x, "logit")
    assert np.isfinite(log).all() and (log > 0).all()
    assert (logit > 0).all() and (logit < 1).all()


# covariates ------------------------------------------------------------------------------------------------------


def values_for(model, hyper, **covariates):
    terms = jnp.asarray(covariate_terms(model, covariates))
    return natural_values(model, prior_mean(model, hyper, terms), hyper, terms)


def test_a_patient_without_the_covariate_stands_at_its_reference(theophylline, at_medians):
    hyper = at_medians(theophylline)
    assert values_for(theophylline, hyper) == values_for(theophylline, hyper, weight_kg=70)
    assert float(values_for(theophylline, hyper)["CL"]) == pytest.approx(2.8, rel=1e-12)


def test_of_a_category_that_is_not_known_its_share_acts():
    model = load_model("myeloma_car_t")
    said = {"high_risk_cytogenetics": 0, "extramedullary": 0, "iss": 1, "lenalidomide_refractory": 0, "sex": "male"}
    names = [name for name, _, _ in model.effects]

    def of(name, **covariates):
        return float(covariate_terms(model, covariates)[names.index(name)])

    left = {n: v for n, v in said.items() if n != "sex"}
    name = "beta_h_background_sex_female"
    assert (of(name, **left), of(name, **said), of(name, **left, sex="female")) == (0.39, 0.0, 1.0)
    assert not covariate_terms(model, said | {"isotype": "IgG"}).any()
    assert of("beta_P0_isotype_light_chain") == 0.0  # nobody is light-chain disease in part


def test_patients_of_whom_nothing_is_known_resist_and_grow_as_the_usual_mix_does(myeloma, at_medians):
    """Mean, variance and covariance of `resistance` and ln g over what is missing, beside sums over the 24 sorts of
    patients that there are."""
    hyper = at_medians(myeloma)
    shares = {
        "high_risk_cytogenetics": {0: 0.58, 1: 0.42},
        "extramedullary": {0: 0.76, 1: 0.24},
        "iss": {1: 0.46, 2: 0.39, 3: 0.15},
        "lenalidomide_refractory": {0: 0.25, 1: 0.75},
    }

    def of(values):
        return np.stack([np.asarray(values["resistance"]), np.log(np.asarray(values["g"]))], -1)

    sorts = list(product(*(one.items() for one in shares.values())))
    chance = np.array([np.prod([share for _, share in sort]) for sort in sorts])
    known = [dict(zip(shares, [level for level, _ in sort])) for sort in sorts]
    drawn = of(jax.tree.map(lambda *a: np.stack(a), *[values_for(myeloma, hyper, **one) for one in known]))
    terms = jnp.asarray(covariate_terms(myeloma, {}))
    psi = prior_mean(myeloma, hyper, terms)
    latent = np.array([n.endswith("_if_missing") for n in myeloma.individual_names])
    u = jax.random.normal(jax.random.key(1), (100_000, latent.sum()))
    moved = of(jax.jit(jax.vmap(lambda x: natural_values(myeloma, psi.at[latent].set(x), hyper, terms)))(u))
    mean = chance @ drawn
    cov = (drawn - mean).T @ ((drawn - mean) * chance[:, None])
    assert moved.mean(axis=0) == pytest.approx(mean, abs=0.015) and mean[0] == pytest.approx(0.0, abs=0.01)
    assert np.cov(moved.T) == pytest.approx(cov, rel=0.02)
    assert np.sqrt(np.diag(cov)) == pytest.approx([0.895, 0.326], abs=0.005)  # what decision 49 had left out


@pytest.mark.parametrize("weight", [0, -70, float("nan"), float("inf"), "heavy", [70]])
def test_a_covariate_that_gives_no_number_is_an_error_that_names_patient_and_value(theophylline, weight):
    record = PatientRecord("P-017", covariates={"weight_kg": weight})
    with pytest.raises(RecordError, match=r"patient P-017, covariates: .* this weight_kg .*a number more than 0"):
        compile_record(theophylline, record)


def test_twice_the_reference_weight_multiplies_clearance_by_two_to_the_exponent(theophylline, at_medians):
    heavy = values_for(theophylline, at_medians(theophylline), weight_kg="140")
    assert float(heavy["CL"]) == pytest.approx(2.8 * 2**0.75, rel=1e-12)
    assert float(heavy["V"]) == pytest.approx(32.0 * 2.0, rel=1e-12)
    assert float(heavy["ka"]) == pytest.approx(1.5, rel=1e-12)


def test_iga_m_protein_has_a_half_life_of_six_days_and_igg_of_fourteen(myeloma, at_medians):
    hyper = at_medians(myeloma)
    half_life = {
        i: np.log(2) / float(values_for(myeloma, hyper, isotype=i)["kP"]) for i in ("IgG", "IgA", "light_chain")
    }
    assert half_life["IgG"] == half_life["light_chain"] == pytest.approx(13.75, rel=1e-3)
    assert half_life["IgA"] == pytest.approx(6.0, rel=0.01)


@pytest.mark.parametrize("one", [1, 1.0, "1", "1.0", True, np.int64(1)])
def test_a_category_is_found_however_a_table_writes_it(myeloma, at_medians, one):
    hyper = at_medians(myeloma)
    without, there, unknown = (
        {name: float(values[name]) for name in ("h_other", "h_extramedullary")}
        for values in (
            values_for(myeloma, hyper, extramedullary=0),
            values_for(myeloma, hyper, extramedullary=one),
            values_for(myeloma, hyper),
        )
    )
    assert sum(there.values()) / sum(without.values()) == pytest.approx(4.5, rel=1e-3)  # domain notes 1e: times 4 to 5
    assert there["h_other"] == without["h_other"] == unknown["h_other"]
    share = np.log(unknown["h_extramedullary"] / without["h_extramedullary"])
    assert share == pytest.approx(0.24 * 2.08, rel=1e-6)  # at the prior mean of psi


def test_ten_more_years_raise_background_mortality_by_the_gompertz_slope(myeloma, at_medians):
    hyper = at_medians(myeloma)
    old, young = (float(values_for(myeloma, hyper, age_years=a, sex="male")["h_background"]) for a in (75, 65))
    assert old / young == pytest.approx(np.exp(0.95), rel=1e-9)
    assert young * 365.25 == pytest.approx(0.015, rel=1e-9)


# prior of psi ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_log_prior_is_the_multivariate_normal_of_the_hierarchy(myeloma, at_medians, rho):
    hyper, terms = at_medians(myeloma, rho), jnp.asarray(covariate_terms(myeloma, {"isotype": "IgA"}))
    mean = prior_mean(myeloma, hyper, terms)
    psi = mean + 0.3 * jnp.sin(jnp.arange(len(mean)) + 1.0)
    covariance = np.asarray(hyper.omega)[:, None] * np.asarray(hyper.correlation) * np.asarray(hyper.omega)
    expected = stats.multivariate_normal(np.asarray(mean), covariance).logpdf(np.asarray(psi))
    assert float(log_prior(myeloma, psi, hyper, terms)) == pytest.approx(expected, rel=1e-9)


def test_draws_of_the_prior_have_the_omegas_as_standard_deviations_and_the_declared_correlation(myeloma, at_medians):
    hyper, terms = at_medians(myeloma, 0.5), jnp.zeros(len(myeloma.effects))
    draws = jax.vmap(lambda k: draw_prior(myeloma, k, hyper, terms))(jax.random.split(jax.random.key(3), 40_000))
    np.testing.assert_allclose(draws.std(axis=0), hyper.omega, rtol=0.02)
    np.testing.assert_allclose(np.corrcoef(draws.T), hyper.correlation, atol=0.025)
    np.testing.assert_allclose(draws.mean(axis=0), prior_mean(myeloma, hyper, terms), atol=0.025 * hyper.omega.max())


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.5, 0.9, 0.99])
def test_the_declared_response_correlation_is_a_correlation_matrix(myeloma, rho):
    structure, names = response_structure(myeloma, rho), list(myeloma.individual_names)
    np.testing.assert_array_equal(structure, structure.T)
    np.testing.assert_array_equal(np.diag(structure), 1.0)
    assert np.linalg.eigvalsh(structure).min() > 0
    members = [names.index(n) for n in myeloma.response_correlation.parameters]
    for a in members:
        assert structure[a, names.index("frailty")] == pytest.approx(np.sqrt(rho))
    target = [names.index(f"f_{n}") for n in ("ide_cel", "cilta_cel", "teclistamab", "belantamab_pd")]
    closer = 1.0 - (1.0 - rho) ** 1.5
    assert all(structure[a, b] == pytest.approx(closer) for a in target for b in target if b != a)
    far = [names.index(f"f_{n}") for n in ("ide_cel", "dara_pd", "rd", "kd", "standard_care")]
    assert all(structure[a, b] == pytest.approx(rho) for a in far for b in far if b != a)
    others = [k for k, n in enumerate(names) if k not in members and n != "frailty"]
    np.testing.assert_array_equal(structure[np.ix_(others, others)], np.eye(len(others)))


# response classes ------------------------------------------------------------------------------------------------


@partial(jax.jit, static_argnames=("model", "rho"))
def class_probability(model, hyper, frailty, row, relevant, rho):
    psi = jnp.zeros(len(model.individual_names)).at[model.individual_names.index("frailty")].set(frailty)
    return jnp.exp(class_log_probability(model, psi, hyper, jnp.zeros(len(model.effects)), row, relevant, rho))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_averaged_over_frailty_the_chance_of_non_response_is_the_declared_one(myeloma, at_medians, rho):
    # Gauss-Hermite instead of random draws: exact to its tolerance
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    hyper, n = at_medians(myeloma, rho), len(myeloma.response_classes)
    for k, cls in enumerate(myeloma.response_classes):
        row = relevant = jnp.eye(n)[k]
        at = partial(class_probability, myeloma, hyper, row=row, relevant=relevant, rho=rho)
        p = jax.vmap(at)(jnp.asarray(nodes))
        declared = myeloma.parameters[myeloma.parameter_names.index(cls.probability)].typical.median
        assert float(weights @ p / weights.sum()) == pytest.approx(declared, rel=1e-3)


def test_two_treatments_share_non_response_as_the_one_factor_copula_says(myeloma, at_medians):
    rho, hyper = 0.5, at_medians(myeloma, 0.5)
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    both = jnp.array([1, 0, 1, *[0] * (len(myeloma.response_classes) - 3)])
    p = jax.vmap(lambda c: class_probability(myeloma, hyper, c, both, both, rho))(jnp.asarray(nodes))
    a, b = stats.norm.ppf([0.29, 0.36])  # ide-cel and teclistamab
    joint = stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([a, b])
    assert float(weights @ p / weights.sum()) == pytest.approx(joint, rel=1e-3)
    assert joint > 1.5 * 0.29 * 0.36


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_classes_of_the_started_treatments_have_probability_one_together(myeloma, at_medians, rho):
    count = len(myeloma.response_classes)
    relevant = np.array([1.0, 0.0, 1.0, 1.0, *[0.0] * (count - 4)])
    rows = class_rows(relevant)
    assert rows.shape == (8, count) and len({tuple(r) for r in rows}) == 8 and not rows[:, 1].any()
    hyper = at_medians(myeloma, rho)
    total = sum(float(class_probability(myeloma, hyper, 0.7, jnp.asarray(r), jnp.asarray(relevant), rho)) for r in rows)
    assert total == pytest.approx(1.0, abs=1e-12)


def test_more_frailty_makes_non_response_likelier(myeloma, at_medians):
    hyper, one = at_medians(myeloma, 0.5), jnp.eye(len(myeloma.response_classes))[0]
    p = [float(class_probability(myeloma, hyper, c, one, one, 0.5)) for c in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    assert (np.diff(p) > 0).all()


def test_a_non_responder_gets_the_resistant_fraction_of_that_class_and_nothing_else(myeloma, at_medians):
    hyper, terms = at_medians(myeloma), jnp.asarray(covariate_terms(myeloma, {}))
    psi = prior_mean(myeloma, hyper, terms)
    teclistamab = jnp.eye(len(myeloma.response_classes))[2]
    yes, no = (natural_values(myeloma, psi, hyper, terms, row) for row in (teclistamab, 0 * teclistamab))
    assert float(yes["resistance"]) == pytest.approx(0.0, abs=0.01)  # of the usual mix
    assert float(yes["f_teclistamab"]) == pytest.approx(0.82, abs=0.002)
    assert [name for name in yes if float(yes[name]) != float(no[name])] == ["f_teclistamab"]


def test_the_resistant_fraction_of_a_non_responder_is_the_same_whatever_is_known_of_him(myeloma, at_medians):
    """Covariates move that of a responder by `resistance`, which the mechanism adds to both; then only the class's."""
    hyper, row = at_medians(myeloma), jnp.eye(len(myeloma.response_classes))[2]
    bad = {"high_risk_cytogenetics": 1, "extramedullary": 1, "iss": 3, "lenalidomide_refractory": 1}
    good = {"high_risk_cytogenetics": 0, "extramedullary": 0, "iss": 1, "lenalidomide_refractory": 0}
    found = {}
    for name, known in {"bad": bad, "good": good, "unknown": {}}.items():
        terms = jnp.asarray(covariate_terms(myeloma, known))
        psi = prior_mean(myeloma, hyper, terms)
        for responds, given in ((True, 0 * row), (False, row)):
            values = natural_values(myeloma, psi, hyper, terms, given)
            logit = logit_of(float(values["f_teclistamab"])) + float(values["resistance"])
            found[name, responds] = 1 / (1 + np.exp(-logit))
    assert [found[name, False] for name in ("bad", "good", "unknown")] == pytest.approx([0.82] * 3, rel=1e-9)
    assert found["good", True] < 0.4 * found["unknown", True] < 0.1 * found["bad", True]


def test_nor_does_a_covariate_that_changes_before_the_treatment_move_a_non_responder(myeloma, at_medians):
    hyper, row = at_medians(myeloma), jnp.eye(len(myeloma.response_classes))[2]
    found = ClinicalEvent("covariate", 300.0, 300.0, "extramedullary = 1.0")
    for known in ({"extramedullary": 0}, {}):
        data = compile_record(myeloma, PatientRecord("P", covariates=known, events=(found,)))
        psi = prior_mean(myeloma, hyper, jnp.asarray(data.terms))
        for given, moved in ((row, 0.0), (0 * row, 1.3)):
            values = natural_values(myeloma, psi, hyper, jnp.asarray(data.terms), given, data.changes)
            logit = [
                logit_of(float(p.f_teclistamab)) + float(p.resistance)
                for p in (parameters_at(myeloma, values, t) for t in (299.0, 301.0))
            ]
            expected = moved * (1.0 if known else 0.76)  # of whom nothing was said had a share of it before
            assert logit[1] - logit[0] == pytest.approx(expected, abs=1e-6)
            assert given.sum() == 0 or logit[1] == pytest.approx(logit_of(0.82), abs=1e-6)


def logit_of(p):
    return np.log(p) - np.log1p(-p)
