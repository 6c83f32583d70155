"""How a response to one treatment speaks of another: the declared rho, its marginals and its sign."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from bayestwin.prognosis.particles import forecast_draws
from bayestwin.records import ClinicalEvent

pytestmark = pytest.mark.slow  # compiles the myeloma model once


def draws_of(twin, rho, seed=5):
    with jax.enable_x64(True):
        return forecast_draws(twin, rho, np.random.default_rng(seed))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_an_untreated_patient_keeps_every_marginal_under_every_rho(myeloma_prior, rho):
    model, _, twin = myeloma_prior
    found = draws_of(twin, rho)
    w = np.exp(np.asarray(found.log_weights)) / twin.islands
    draw = np.asarray(twin.particles.draw)
    for k, response_class in enumerate(model.response_classes):
        column = model.parameter_names.index(response_class.probability)
        p = 1 / (1 + np.exp(-np.asarray(twin.population.typical)[draw, column]))
        share = (w * np.asarray(found.class_rows[:, k])).sum()
        assert share == pytest.approx((w * p).sum(), abs=4.5 * np.sqrt(0.25 / found.ess)), response_class.treatment
        d = model.individual_names.index(response_class.parameter)
        z = (np.asarray(found.psi[:, d]) - np.asarray(twin.population.mean)[draw, d]) / np.linalg.norm(
            np.asarray(twin.population.scale)[draw, d], axis=-1
        )
        assert abs((w * z).sum()) < 4.5 / np.sqrt(found.ess)
        assert (w * z**2).sum() == pytest.approx(1.0, abs=4.5 * np.sqrt(2 / found.ess))


@pytest.mark.parametrize("pair, closeness", [(("f_dara_pd", "f_ide_cel"), 1.0), (("f_teclistamab", "f_ide_cel"), 1.5)])
def test_two_treatments_are_correlated_as_declared(myeloma_prior, pair, closeness):
    model, _, twin = myeloma_prior
    draw = np.asarray(twin.particles.draw)
    for rho in (0.0, 0.5, 0.9):
        found = draws_of(twin, rho)
        w = np.exp(np.asarray(found.log_weights)) / twin.islands
        z = []
        for name in pair:
            d = model.individual_names.index(name)
            scale = np.linalg.norm(np.asarray(twin.population.scale)[draw, d], axis=-1)
            z.append((np.asarray(found.psi[:, d]) - np.asarray(twin.population.mean)[draw, d]) / scale)
        assert (w * z[0] * z[1]).sum() == pytest.approx(1 - (1 - rho) ** closeness, abs=0.1)


def treated(twin, model, non_response=0.0, worse=0.0):
    """The twin after bridging with dara_pd: `non_response` is ln of the Bayes factor for the non-responder class,
    `worse` tilts the weights towards a larger resistant fraction."""
    parts = twin.particles
    psi, draw = np.asarray(parts.psi), np.asarray(parts.draw)
    k = model.treatment_names.index("dara_pd")
    column = model.parameter_names.index("p_nonresponse_dara_pd")
    p = 1 / (1 + np.exp(-np.asarray(twin.population.typical)[draw, column]))
    from scipy.stats import norm

    frailty = psi[:, model.individual_names.index("frailty")]
    chance = norm.cdf((norm.ppf(p) + np.sqrt(twin.rho) * frailty) / np.sqrt(1 - twin.rho))
    two = np.zeros((len(psi), 2))
    d = model.individual_names.index("f_dara_pd")
    z = (psi[:, d] - np.asarray(twin.population.mean)[draw, d]) / np.linalg.norm(
        np.asarray(twin.population.scale)[draw, d], axis=-1
    )
    log_class = np.log(np.stack([1 - chance, chance], axis=-1))
    labs = two + np.array([0.0, non_response]) + worse * z[:, None]
    tilt = np.log(np.exp(log_class + labs).sum(1)).reshape(twin.islands, -1)
    log_weights = (tilt - np.log(np.exp(tilt).sum(1, keepdims=True))).ravel()
    pieces = {"labs": labs, "alive": two, "other": two, "log_class": log_class, "log_weights": log_weights}
    state = np.repeat(np.asarray(parts.state), 2, axis=1)
    record = replace(twin.record, events=(ClinicalEvent("line_of_therapy", 3.0, 3.0, model.treatments[k].name),))
    return replace(twin, record=record, particles=parts._replace(state=state, **pieces))


def later_non_response(twin, model, rho):
    """P(non-responder to ide-cel) and the mean standardised resistant fraction under ide-cel."""
    found = draws_of(twin, rho)
    w = np.exp(np.asarray(found.log_weights)) / twin.islands
    k = [c.treatment for c in model.response_classes].index("ide_cel")
    d = model.individual_names.index("f_ide_cel")
    return (w * np.asarray(found.class_rows[:, k])).sum(), (w * np.asarray(found.psi[:, d])).sum()


def test_a_worse_response_to_bridging_never_raises_hope_for_the_cells(myeloma_prior):
    model, _, twin = myeloma_prior
    for rho in (0.5, 0.9):
        by_class = [later_non_response(treated(twin, model, non_response=f), model, rho)[0] for f in (-6.0, 0.0, 6.0)]
        assert by_class[0] < by_class[1] < by_class[2]
        by_depth = [later_non_response(treated(twin, model, worse=f), model, rho)[1] for f in (-1.0, 0.0, 1.0)]
        assert by_depth[0] < by_depth[1] < by_depth[2]
    assert by_class[2] - by_class[0] > 0.2


def test_under_rho_zero_it_says_nothing(myeloma_prior):
    model, _, twin = myeloma_prior
    found = [later_non_response(treated(twin, model, non_response=f), model, 0.0)[0] for f in (-6.0, 6.0)]
    assert found[0] == pytest.approx(found[1], abs=0.08)


def test_another_rho_does_not_weigh_the_population_draws_of_a_cut_posterior(myeloma_prior):
    model, _, twin = myeloma_prior
    cut = replace(treated(twin, model, worse=1.0), feedback=False)
    found = draws_of(cut, 0.9)
    own = np.asarray(found.draw).reshape(cut.islands, -1)[0]
    weights = np.exp(np.asarray(found.log_weights)).reshape(cut.islands, -1)[0]
    share = np.bincount(own, weights)
    np.testing.assert_allclose(share[share > 0], 1.0 / len(np.unique(own)))
    assert weights.std() > 0  # those of one draw are weighed among themselves
