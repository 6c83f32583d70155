"""Every building block against a closed form, an identity or a second derivation with scipy; one compiled solve."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_block import DOSE, DOSES, TIMES, write_every_block
from scipy.integrate import quad, solve_ivp
from scipy.linalg import expm
from scipy.special import gammainc, lambertw

from bayestwin.dynamics.blocks import (
    exponential_decline,
    gamma_input,
    log_myelosuppression,
    michaelis_menten,
    myelosuppression,
    quasi_equilibrium,
    quasi_steady_state,
    saturation,
    sigmoid_decline,
    transit_chain,
)
from bayestwin.records.record import PatientRecord

GIVEN = (1.0, 4.0)  # every dose, days


@pytest.fixture(scope="module")
def every_block(tmp_path_factory):
    return write_every_block(tmp_path_factory.mktemp("models") / "every_block")


@pytest.fixture(scope="module")
def course(every_block, solver_of):
    """course(doses=DOSES, **changed) -> (values, states by name at TIMES)."""
    solve = solver_of(every_block, lengths=(32,), cycles=None)
    medians = {p.name: p.typical.median for p in every_block.parameters}

    def run(doses=DOSES, **changed):
        values = medians | changed
        found = solve(PatientRecord("P-1", doses=doses), values, list(TIMES), end=12.0)
        assert bool(solve.last.ok)
        return values, dict(zip(every_block.states, found.T))

    return run


@pytest.fixture(scope="module")
def typical(course):
    return course()


def after_doses(curve):
    """Sum over the two doses of curve(time since the dose), at TIMES."""
    since = np.array(TIMES)[:, None] - np.array(GIVEN)
    return np.where(since >= 0, curve(np.maximum(since, 0.0)), 0.0).sum(axis=1)


def linear_course(matrix):
    """States at TIMES of dx/dt = A x with DOSE into the first at each of GIVEN, by scipy's exponential."""
    given = DOSE * np.eye(len(matrix))[0]
    return np.array([sum(expm(np.array(matrix) * (t - g)) @ given for g in GIVEN if t >= g) for t in TIMES])


def by_scipy(slope, begin, dosed):
    """States at TIMES of dx/dt = slope(t, x) with DOSE * dosed added at each of GIVEN, by scipy's implicit solver."""
    x, now, found = np.array(begin, dtype=float), 0.0, {}
    for then in sorted({*TIMES, *GIVEN}):
        x = solve_ivp(slope, (now, then), x, method="LSODA", rtol=1e-10, atol=1e-11).y[:, -1]
        found[then], now = x, then
        x = x + DOSE * np.array(dosed) * (then in GIVEN)
    return np.array([found[t] for t in TIMES])


def concentration(v):
    """The concentration that drives the responses, as a function of time (Bateman, two doses)."""
    k, ka = v["CL"] / v["V"], v["ka"]

    def at(t):
        since = np.array([t - g for g in GIVEN if t >= g])
        return DOSE / v["V"] * ka / (ka - k) * (np.exp(-k * since) - np.exp(-ka * since)).sum()

    return at


def test_first_order_absorption_follows_the_bateman_equation(typical):
    v, found = typical
    np.testing.assert_allclose(found["one"] / v["V"], [concentration(v)(t) for t in TIMES], rtol=1e-7)


@pytest.mark.parametrize("n", [1e-9, 2.0, 4.6])
def test_the_closed_transit_input_brings_the_whole_dose_along_a_gamma_distribution(course, n):
    v, found = course(n=n)
    arrived = DOSE * gammainc(n + 1, v["ktr"] * (np.array(TIMES) - 1.0))
    np.testing.assert_allclose(found["gamma"], arrived, rtol=1e-6)
    if n < 1e-6:  # no transit compartment: first order
        np.testing.assert_allclose(found["gamma"], DOSE * -np.expm1(-v["ktr"] * (np.array(TIMES) - 1.0)), rtol=1e-6)


def test_the_chain_superposes_doses_and_is_the_closed_form_for_one(typical, course):
    v, found = typical
    left = sum(found[name] for name in ("c0", "c1", "c2"))
    np.testing.assert_allclose(left, after_doses(lambda s: DOSE * (1 - gammainc(3, v["ktr"] * s))), rtol=1e-6)
    _, once = course(tuple(d for d in DOSES if d.time == 1.0))
    left = sum(once[name] for name in ("c0", "c1", "c2"))
    np.testing.assert_allclose(DOSE - left, once["gamma"], rtol=1e-7)
    np.testing.assert_allclose(found["gamma"], once["gamma"], rtol=1e-9)  # it is told of one dose and forgets the other


def test_the_closed_form_takes_several_doses_where_it_is_told_them():
    since, dose = jnp.array([5.0, 2.0, -1.0]), jnp.array([80.0, 40.0, 80.0])
    one_by_one = [gamma_input(s, d, 0.9, 2.5) for s, d in zip(since, dose)]
    np.testing.assert_allclose(gamma_input(since, dose, 0.9, 2.5), sum(one_by_one), rtol=1e-14)
    assert one_by_one[2] == 0.0 < one_by_one[1]


def test_three_compartments_are_their_matrix_exponential(typical):
    v, found = typical
    k10, k12, k21 = v["CL"] / v["V"], v["Q"] / v["V"], v["Q"] / v["V2"]
    k13, k31 = v["Q2"] / v["V"], v["Q2"] / v["V3"]
    exact = linear_course([[-k10 - k12 - k13, k21, k31], [k12, -k21, 0], [k13, 0, -k31]])
    np.testing.assert_allclose(np.stack([found[n] for n in ("central", "near", "far")], axis=1), exact, rtol=1e-7)


def test_saturable_elimination_is_lambert_s_function(course):
    once = tuple(d for d in DOSES if d.time == 1.0)
    v, found = course(once)
    c0, t = DOSE / v["V"], np.array(TIMES) - 1.0
    exact = v["Km"] * lambertw(c0 / v["Km"] * np.exp((c0 - v["Vmax"] / v["V"] * t) / v["Km"])).real
    np.testing.assert_allclose(found["bolus"] / v["V"], exact, rtol=1e-7)


def test_saturable_elimination_is_linear_far_below_km_and_constant_far_above():
    assert michaelis_menten(1e-6, 6.0, 2.0, 5.0) == pytest.approx(6.0 / 2.0 / 5.0 * 1e-6, rel=1e-6)
    assert michaelis_menten(1e9, 6.0, 2.0, 5.0) == pytest.approx(6.0, rel=1e-7)


def test_elimination_that_wanes_integrates_to_its_closed_form(typical):
    v, found = typical

    def rate(t):
        sigmoid = 1 - t ** v["hill"] / (v["t50"] ** v["hill"] + t ** v["hill"])
        return v["CL"] / v["V"] * (1 + np.exp(-v["kdes"] * t)) * np.exp(0.6 * sigmoid)

    exact = [sum(DOSE * np.exp(-quad(rate, g, t, epsabs=1e-12)[0]) for g in GIVEN if t >= g) for t in TIMES]
    np.testing.assert_allclose(found["waning"], exact, rtol=1e-7)


def test_what_wanes_is_whole_before_treatment_and_at_its_start():
    for t in (-1e9, -3.0, 0.0):
        assert exponential_decline(t, 0.3) == 1.0
        assert sigmoid_decline(t, 40.0, 3.9) == pytest.approx(1.0, abs=1e-12)
    assert sigmoid_decline(40.0, 40.0, 3.9) == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize("turning_over", [True, False], ids=["target turns over", "constant target"])
def test_quasi_equilibrium_is_the_limit_of_fast_binding(typical, turning_over):
    """The full equations of binding with kon = 2e4 per mg/L and day."""
    v, found = typical
    kon, V = 2e4, v["V"]

    def full(t, x):
        free, target, bound = x
        binding = kon * (free * target - v["Kd"] * bound)
        made = v["ksyn"] - v["kdeg"] * target if turning_over else v["kint"] * bound
        return [-v["CL"] / V * free - binding, made - binding, binding - v["kint"] * bound]

    begin = v["ksyn"] / v["kdeg"] if turning_over else v["R0"]
    states = by_scipy(full, [0.0, begin, 0.0], [1.0 / V, 0.0, 0.0])
    name = "drug" if turning_over else "constant"
    np.testing.assert_allclose(found[name] / V, states[:, 0] + states[:, 2], rtol=2e-4)
    if turning_over:
        np.testing.assert_allclose(found["target"], states[:, 1] + states[:, 2], rtol=2e-4)


def test_binding_without_a_target_is_linear(course):
    v, found = course(R0=1e-12)
    exact = after_doses(lambda s: DOSE * np.exp(-v["CL"] / v["V"] * s))
    np.testing.assert_allclose(found["constant"], exact, rtol=1e-7)


@pytest.mark.parametrize("drug", [0.0, 1e-9, 0.2, 3.0, 1e6])
@pytest.mark.parametrize("target", [0.0, 1e-9, 3.0, 1e6])
def test_what_is_bound_adds_up_and_balances(drug, target):
    kon, koff, kint = 0.8, 0.4, 0.6
    for bound, kd in (
        (quasi_equilibrium(drug, target, koff / kon), koff / kon),
        (quasi_steady_state(drug, target, kon, koff, kint), (koff + kint) / kon),
    ):
        np.testing.assert_allclose(bound.free + bound.complex, drug, rtol=1e-9)
        np.testing.assert_allclose(bound.target + bound.complex, target, rtol=1e-9)
        np.testing.assert_allclose(bound.free * bound.target, kd * bound.complex, rtol=1e-9)
        assert min(bound) >= 0.0


def test_quasi_steady_state_is_quasi_equilibrium_with_its_own_constant(typical, course):
    """kon = 1: Kss = koff + kint. It binds less than equilibrium says, so more is lost as free drug than as complex."""
    v, found = typical
    _, other = course(Kd=v["Kd"] + v["kint"])
    np.testing.assert_allclose(found["qss"], other["constant"], rtol=1e-7)
    assert (np.abs(found["qss"] / found["constant"] - 1.0) > 1e-3)[1:].all()


def test_the_site_of_effect_follows_plasma_at_its_rate(typical):
    v, found = typical
    k = v["CL"] / v["V"]
    matrix = [[-v["ka"], 0, 0], [v["ka"], -k, 0], [0, v["ke0"] / v["V"], -v["ke0"]]]
    np.testing.assert_allclose(found["site"], linear_course(matrix)[:, 2], rtol=1e-7)


def hill(c, half, h=1.0):
    return c**h / (half**h + c**h)


def test_a_virtual_depot_drives_its_response_by_the_intensity_of_dosing(typical):
    v, found = typical

    def slope(t, x):
        effect = v["Imax"] * hill(v["kE"] * x[0], v["EDK50"])
        return [-v["kE"] * x[0], v["kin"] * (1 - effect) - v["kout"] * x[1]]

    states = by_scipy(slope, [0.0, v["kin"] / v["kout"]], [1.0, 0.0])
    np.testing.assert_allclose(found["virtual"], states[:, 0], rtol=1e-7)
    np.testing.assert_allclose(found["kpd"], states[:, 1], rtol=1e-7)


@pytest.mark.parametrize("kind", ["i1", "i2", "i3", "i4"])
def test_the_four_indirect_responses_are_scipy_s(typical, kind):
    v, found = typical
    drug = concentration(v)

    def slope(t, x):
        effect = v["Imax"] * hill(drug(t), v["IC50"], v["hill"])
        made = {"i1": 1 - effect, "i3": 1 + effect}.get(kind, 1.0)
        lost = {"i2": 1 - effect, "i4": 1 + effect}.get(kind, 1.0)
        return [v["kin"] * made - v["kout"] * lost * x[0]]

    exact = by_scipy(slope, [v["kin"] / v["kout"]], [0.0])[:, 0]
    np.testing.assert_allclose(found[kind], exact, rtol=1e-7)
    rises = kind in ("i2", "i3")
    assert (found[kind] > v["kin"] / v["kout"]).all() == rises
    if kind == "i1":
        np.testing.assert_allclose(np.exp(found["ln_i1"]), found["i1"], rtol=1e-7)


CELLS = ("prol", "t1", "t2", "t3", "circ")


def test_myelosuppression_is_scipy_s_and_the_same_in_logs(typical):
    v, found = typical
    drug, ktr = concentration(v), 4 / v["MTT"]

    def slope(t, x):
        made = ktr * x[0] * (1 - 0.5 * hill(drug(t), v["IC50"])) * (v["C0"] / x[4]) ** v["feedback"]
        return [made - ktr * x[0], *(ktr * (x[k] - x[k + 1]) for k in range(4))]

    exact = by_scipy(slope, [v["C0"]] * 5, [0.0] * 5)
    np.testing.assert_allclose(np.stack([found[n] for n in CELLS], axis=1), exact, rtol=1e-6)
    np.testing.assert_allclose(np.exp([found[f"ln_{n}"] for n in CELLS]), exact.T, rtol=1e-6)


def test_without_a_drug_nothing_moves(course):
    v, found = course(())
    for name in CELLS:
        np.testing.assert_allclose(found[name], v["C0"], rtol=1e-9)
        np.testing.assert_allclose(found[f"ln_{name}"], np.log(v["C0"]), rtol=1e-9)
    for name in ("kpd", "i1", "i2", "i3", "i4"):
        np.testing.assert_allclose(found[name], v["kin"] / v["kout"], rtol=1e-9)
    np.testing.assert_allclose(found["target"], v["ksyn"] / v["kdeg"], rtol=1e-9)
    for name in ("one", "central", "bolus", "waning", "drug", "constant", "qss", "site", "virtual"):
        np.testing.assert_array_equal(found[name], 0.0)


def test_a_chain_keeps_what_it_does_not_pass_on():
    derivatives, flow = transit_chain((3.0, 1.0, 0.5), 2.0)
    assert sum(derivatives) == pytest.approx(-flow) and flow == 1.0


def test_values_and_slopes_are_finite_at_zero_below_it_and_far_out():
    """Where solvers and samplers lead: states at zero, a solver's error below it, large numbers."""
    blood = {"baseline": 5.0, "transit_time": 4.0, "feedback": 0.2}
    terms = {
        "saturation": lambda x: saturation(x, 3.0, 0.7),
        "saturation, exponent 1": lambda x: saturation(x, 3.0),
        "saturation by its exponent": lambda x: saturation(0.0, 3.0, 1.0 + x**2),
        "Michaelis-Menten": lambda x: michaelis_menten(x, 6.0, 2.0, 5.0),
        "free drug": lambda x: quasi_equilibrium(x, 3.0, 0.5).free,
        "free drug by target": lambda x: quasi_equilibrium(3.0, x, 0.5).free,
        "complex": lambda x: quasi_equilibrium(x, 0.0, 0.5).complex,
        "gamma input": lambda x: gamma_input(x, 80.0, 2.0, 2.5),
        "gamma input by n": lambda x: gamma_input(0.0, 80.0, 2.0, x**2),
        "sigmoid": lambda x: sigmoid_decline(x, 40.0, 3.9),
        "sigmoid by exponent": lambda x: sigmoid_decline(0.0, 40.0, x**2),
        "cells": lambda x: sum(myelosuppression(2.0, (1.0,) * 3, x, effect=1.5, **blood)),
        "cells in logs": lambda x: sum(log_myelosuppression(0.0, (0.0,) * 3, x, effect=1.5, **blood)),
    }
    for name, term in terms.items():
        for x in (0.0, -1e-9, 1e-300, 1e-9, 1.0, 300.0):
            value, slope = jax.value_and_grad(term)(x)
            assert np.isfinite(value) and np.isfinite(slope), f"{name} at {x}"
