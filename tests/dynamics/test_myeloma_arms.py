"""Arms of trials on a coarse grid against the model's own solver and its coding of progression (models/.../arms.py)."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from bayestwin.prognosis.endpoint import code_progression
from bayestwin.records.record import ClinicalEvent, PatientRecord
from bayestwin.specification import TrialArm, load_model
from bayestwin.specification.load import model_part

MODEL = load_model("myeloma_car_t")
ARMS, LABS = (model_part(MODEL, part) for part in ("arms", "arm_labs"))
WAIT, HORIZON = 40.0, 560.0
GRID, AT = ARMS.time_grid(HORIZON, 28.0)
SERUM, CHAINS = MODEL.progression.rule_for({}), MODEL.progression.rule_for({"isotype": "light_chain"})
TREATMENTS = ("ide_cel", "cilta_cel", "teclistamab", "dara_rd", "vd", "observation")


def coarse(values, treatment, wait=WAIT):
    """M-protein, ln burden, hazard integrals of progression and of death at the visits."""
    treated = jnp.array([float(name == treatment) for name in MODEL.treatment_names])
    with jax.enable_x64(True):
        given = {k: jnp.asarray(v, dtype=float) for k, v in values.items()}
        found = ARMS.trajectory(MODEL, given, treated, wait, jnp.asarray(GRID))
        return tuple(np.asarray(a)[AT] for a in found)


@pytest.mark.parametrize("treatment", TREATMENTS)
def test_the_coarse_grid_gives_the_states_and_hazards_of_the_model(fixed_and_adaptive, median_patient, treatment):
    values = median_patient | {"g_step_2": 0.3, "gamma": 1.2, "f_dara_rd": 0.01}
    event = "infusion" if treatment in ("ide_cel", "cilta_cel") else "line_of_therapy"
    record = PatientRecord("P-001", events=(ClinicalEvent(event, WAIT, WAIT, treatment),))
    states = fixed_and_adaptive[1](record, values, [WAIT + t for t in GRID[AT][1:]])
    m, ln_b, total = coarse(values, treatment)
    assert_allclose(ln_b[1:], np.logaddexp(states[:, 0], states[:, 1]), atol=0.03)
    assert_allclose(m[1:], states[:, 2], rtol=0.02, atol=0.02)
    hazards = states[:, len(MODEL.states) :]
    order = [list(MODEL.hazards).index(name) for name in ("progression_other", "extramedullary_progression")]
    death = [list(MODEL.hazards).index(name) for name in ("death", "infection_death")]
    assert_allclose(total[1:, 0], hazards[:, order].sum(1), rtol=0.02)
    assert_allclose(total[1:, 1], hazards[:, death].sum(1), rtol=0.03)


@pytest.mark.parametrize("isotype", [0.0, 1.0], ids=["serum", "light chains"])
def test_soft_progression_is_on_average_what_the_model_codes(isotype):
    rng, count, visits = np.random.default_rng(3), 800, 16
    rule = CHAINS if isotype else SERUM
    t = 28.0 * np.arange(visits)
    f, g, k = (
        rng.uniform(0.001, 0.5, (count, 1)),
        rng.lognormal(-4.9, 0.6, (count, 1)),
        rng.uniform(0.02, 0.1, (count, 1)),
    )
    ln_b = np.log((1 - f) * np.exp((g - k) * t) + f * np.exp(g * t))
    p0, chains = rng.lognormal(2.9, 0.6, (count, 1)), rng.lognormal(5.3, 1.0, (count, 1))
    noise = rng.standard_t(5.0, (count, visits, 2))
    sigma = np.array([0.5, 0.1, 0.2])
    with jax.enable_x64(True):
        soft = jax.vmap(
            lambda p, c, m, b, e: LABS.outcomes_of(
                {"light_chain": isotype, "FLC_floor": 8.0, "FLC0": c[0], "gF": 1.0, "IFE_limit": 0.8},
                m, b, jnp.asarray(sigma), e, SERUM, CHAINS,
            )
        )(p0, chains, p0 * np.exp(ln_b), ln_b, noise)  # fmt: skip
    response, complete, free = (np.asarray(a) for a in soft)
    assert (np.diff(response) >= 0.0).all() and (np.diff(complete) >= 0.0).all() and (response[:, :2] == 0.0).all()
    response, complete = response[:, -1], complete[:, -1]
    serum = np.maximum(p0 * np.exp(ln_b) + np.hypot(0.5, 0.1 * p0 * np.exp(ln_b)) * noise[:, :, 0], 0.5)
    light = (8.0 + chains * np.exp(ln_b)) * np.exp(0.2 * noise[:, :, 1])
    seen, floor = (light, 8.0) if isotype else (serum, 0.0)
    found = code_progression(seen, rule, first_valid=1, confirmations=2)
    hard = (found < 0)[:, None] | (np.arange(visits) < found[:, None])
    assert 0.1 < hard[:, -1].mean() < 0.9
    assert np.abs(free.mean(axis=0) - hard.mean(axis=0)).max() < 0.012
    half = 0.5 * seen[:, :1] + 0.5 * floor
    partial = (np.maximum(seen[:, 1:-1], seen[:, 2:]) <= half).any(axis=1)
    assert abs(response.mean() - partial.mean()) < 0.012
    assert np.corrcoef(response, partial)[0, 1] > 0.95
    assert ((complete < 0.5) | (response > 0.5)).all()
    rng, ever = np.random.default_rng(4), []
    for _ in range(40):
        odds = 3.0 * (np.log(p0 * np.exp(ln_b)) - np.log(0.8))
        negative = odds + rng.logistic(size=odds.shape) <= 0.0
        negative &= (light <= 12.0) | (isotype == 0.0)
        ever.append((negative[:, 1:-1] & negative[:, 2:]).any(axis=1).mean())
    assert 0.01 < np.mean(ever) < 0.9 and abs(complete.mean() - np.mean(ever)) < 0.006


def test_units_start_when_they_do_and_count_responses_until_the_data_cut():
    arm = TrialArm("a", "ide_cel", 50, 28.0, wait=49.0, not_started=0.2, instead="standard_care", response_by=6.0)
    units = ARMS.units_of([arm])
    assert [(u.treatment, u.wait, u.share) for u in units] == [("ide_cel", 49.0, 0.8), ("standard_care", 49.0, 0.2)]
    nodes = [ARMS.make_nodes(MODEL, [one], units, 2, 730.0, 1, 0.5) for one in (arm, replace(arm, response_by=None))]
    assert nodes[0].counted.tolist() == [4, 4]  # six months are 133.6 days from the infusion on: visit 4 is day 112
    assert nodes[1].counted.tolist() == [len(ARMS.time_grid(730.0, 28.0)[1]) - 1] * 2


def test_a_response_needs_two_visits_running_before_progression_and_death():
    rng = np.random.default_rng(7)
    chance, visits, n = rng.uniform(0.05, 0.6, 8), 8, 400_000
    leaving, dying = 0.12, 0.08  # hazards per visit of progression and of death
    with jax.enable_x64(True):
        by = np.asarray(LABS.twice_running(jnp.asarray(chance)))
        t = np.arange(visits)
        alive = np.exp(-dying * t)
        ever, with_pfs, with_os = (
            np.asarray(a) for a in LABS.best_response(jnp.asarray(by), jnp.exp(-leaving * t) * alive, alive)
        )
    met = rng.random((n, visits)) < chance
    pair = np.concatenate([np.zeros((n, 2), bool), met[:, 1:-1] & met[:, 2:]], axis=1)
    first = np.where(pair.any(axis=1), pair.argmax(axis=1), visits)
    progressed, dead = rng.exponential(1.0 / leaving, n), rng.exponential(1.0 / dying, n)
    responds = (first < visits) & (first < np.minimum(progressed, dead))
    assert_allclose(by, [(first <= v).mean() for v in t], atol=0.004)
    assert_allclose(ever, responds.mean(), atol=0.004)
    assert_allclose(with_pfs, [(responds & (np.minimum(progressed, dead) > v)).mean() for v in t], atol=0.004)
    assert_allclose(with_os, [(responds & (dead > v)).mean() for v in t], atol=0.004)
    assert abs(by[-1] - responds.mean()) > 0.05  # whom death and progression keep from a response
