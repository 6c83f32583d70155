"""A linear drug before its response is stepped in closed form: found by reading the model, equal to a solve of all."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_block import write_every_block
from scipy.linalg import expm

from bayestwin.dosing import DoseEvent
from bayestwin.dynamics import Accuracy, build_timeline, initial_values, pad_timeline, solve_patient
from bayestwin.dynamics.blocks import compartments, exponential_decline, saturation, turnover
from bayestwin.dynamics.course import course_of
from bayestwin.dynamics.drivers import Driver, drivers_of
from bayestwin.dynamics.names import CHANGED, ChangedCovariates
from bayestwin.records.record import ClinicalEvent, PatientRecord
from bayestwin.specification import (
    Adaptive,
    Additive,
    Dosing,
    HalfNormal,
    LogitNormal,
    LogNormal,
    Model,
    Normal,
    Observation,
    Parameter,
    Power,
    Steps,
    load_model,
)

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
TIGHT = Accuracy(1e-9, 1e-10, 4096)
STATES = ("response", "central", "depot", "peripheral")
VALUES = {
    "ka": 1.5,
    "CL": 3.0,
    "V": 30.0,
    "Q": 2.0,
    "V2": 40.0,
    "kout": 0.2,
    "IC50": 2.0,
    "hill": 1.4,
    "lag": 0.3,
    "F": 0.8,
}
TIMES = (0.1, 0.7, 2.0, 5.0, 8.0, 13.0, 24.0)


def field(t, y, p, u):
    flow = p.ka * y.depot
    central, peripheral = compartments(y.central, p.CL, p.V, (y.peripheral, p.Q, p.V2))
    effect = saturation(y.central / p.V, p.IC50, p.hill)
    response = turnover(y.response, 100.0 * p.kout * (1.0 - effect), p.kout)
    return {"depot": -flow, "central": flow + central, "peripheral": peripheral, "response": response}


def log(name, **more):
    return Parameter(name, unit="", scale="log", typical=LogNormal(median=VALUES[name], sd_log=0.3), **more)


WHOLE = Model(
    name="drug_and_response",
    time_unit="h",
    dose_unit="mg",
    states=STATES,
    initial_state=lambda p: {"response": 100.0, "central": 0.0, "depot": 0.0, "peripheral": 0.0},
    vector_field=field,
    steps=Adaptive(),
    routes={"oral": "depot", "iv": "central"},
    dosing=(Dosing("oral", lag="lag", bioavailability="F"),),
    parameters=(
        log("ka"),
        log("CL", covariates=(Power("weight", reference=70, exponent=Normal(mean=0.75, sd=0.2)),)),
        *(log(name) for name in ("V", "Q", "V2", "kout", "IC50", "hill", "lag")),
        Parameter("F", unit="", scale="logit", typical=LogitNormal(median=0.8, sd_logit=0.5)),
    ),
    outputs={"response": lambda t, y, p, u: y.response},
    observations=(Observation("response", unit="", error=Additive(sd=HalfNormal(sd=5.0)), plausible=(0, 200)),),
)
DRIVEN = replace(WHOLE, steps=None)
GRID = replace(WHOLE, steps=Steps(first=0.05, growth=1.25, largest=0.6), dosing=())  # a grid stands still


def solved(model, accuracy=TIGHT._replace(gradient=False)):
    """One program: states at TIMES, and the slopes of a weighted sum of them by the logarithms of the parameters: all
    in reverse mode, or one along a fixed direction in forward mode, which compiles in a fraction of the time."""
    rng = np.random.default_rng(5)
    weights, along = (
        jnp.array(rng.uniform(0.5, 1.5, (len(TIMES), len(STATES)))),
        jnp.array(rng.normal(size=len(VALUES))),
    )

    def total(z, line, index, shifts):
        values = dict(zip(VALUES, jnp.exp(z))) | {CHANGED: ChangedCovariates(jnp.array([6.0]), shifts)}
        solution = solve_patient(model, values, initial_values(model, values), line, accuracy)
        return (weights * solution.states[index]).sum(), (solution.states[index], solution.ok)

    def forward(z, *rest):
        value, slope, found = jax.jvp(lambda z: total(z, *rest), (z,), (along[: len(z)],), has_aux=True)
        return (value, found), slope

    program = jax.value_and_grad(total, has_aux=True) if accuracy.gradient else forward
    compiled = jax.jit(program, compiler_options=QUICK)

    def run(doses, change=0.0, **values):
        # a covariate that moves clearance from 6 h on cuts the interval there
        heavier = (ClinicalEvent("covariate", 6.0, 6.0, "weight = 80"),)
        record = PatientRecord("P-1", doses=doses, covariates={"weight": 70.0}, events=heavier)
        line, index = build_timeline(model, record, start=0.0, end=TIMES[-1], asked=[(t, False) for t in TIMES])
        # room for resets and steady states, whose search is most of the program, only where a record has one
        line = pad_timeline(
            line, 128 if model is GRID else 32, 2 if any(dose.ss or dose.reset for dose in doses) else 0, 16
        )
        shifts = np.zeros((1, len(VALUES)))
        shifts[0, 1] = change
        z = jnp.log(jnp.array([(VALUES | values)[name] for name in VALUES]))
        (_, (states, ok)), slope = compiled(z, line, index, shifts)
        assert bool(ok)
        return np.asarray(states), np.asarray(slope)

    return run


@pytest.fixture(scope="module")
def driven():
    return solved(DRIVEN)


@pytest.fixture(scope="module")
def whole():
    return solved(WHOLE)


ORAL, IV = DoseEvent(0.0, 300.0, "oral"), DoseEvent(0.5, 200.0, "iv")
RECORDS = {
    "daily doses": (replace(ORAL, addl=3, ii=6.0),),
    "a bolus and an infusion": (ORAL, replace(IV, duration=4.0)),
    "a pump into the depot with a lag": (replace(ORAL, rate=60.0, lag=1.1),),
    "steady state of an infusion longer than its interval": (replace(IV, ss=1, ii=6.0, duration=9.0),),
    "added steady state": (ORAL, replace(IV, time=3.0, ss=2, ii=12.0, duration=2.0)),
    "a reset": (replace(ORAL, addl=2, ii=2.0), replace(IV, time=6.5, reset=True)),
}


def same(found, wanted, tolerance):
    """Values to a share of each state's largest, slopes to a share of the largest slope, or of 100."""
    (states, slope), (other, other_slope) = found, wanted
    assert (np.abs(states - other) <= tolerance * (1.0 + np.abs(other).max(axis=0))).all()
    assert (np.abs(slope - other_slope) <= 10.0 * tolerance * max(100.0, np.abs(other_slope).max())).all()


# The steady state of four states, for which a reset has room too, compiles for half a minute: that of two is in the
# test after this one. All records are solved both ways in reverse mode too.
LONG = ("steady state of an infusion longer than its interval", "added steady state", "a reset")


@pytest.mark.parametrize(
    "record", [pytest.param(name, marks=pytest.mark.validate) if name in LONG else name for name in RECORDS]
)
def test_both_routes_give_the_same_states_and_slopes(driven, whole, record):
    same(driven(RECORDS[record], change=0.4), whole(RECORDS[record], change=0.4), 1e-7)


def test_a_steady_state_is_where_many_doses_lead_and_a_reset_is_a_new_beginning():
    """The smallest model that has a driver: a drug that one dose brings, and its response."""

    def field(t, y, p, u):
        effect = saturation(y.central / p.V, p.IC50, p.hill)
        return {
            "central": -p.CL * y.central / p.V,
            "response": turnover(y.response, 100 * p.kout * (1 - effect), p.kout),
        }

    model = replace(
        DRIVEN,
        states=("response", "central"),
        initial_state=lambda p: {"response": 100.0, "central": 0.0},
        vector_field=field,
        routes={"iv": "central"},
        dosing=(),
    )
    assert drivers_of(model) == (Driver((1,), ((0,),)),)

    @partial(jax.jit, compiler_options=QUICK)
    def states(values, line):
        return solve_patient(model, values, initial_values(model, values), line, TIGHT._replace(gradient=False))

    def end(*doses):
        record = PatientRecord("P-1", doses=doses, covariates={"weight": 70.0})
        line, index = build_timeline(model, record, start=0.0, end=245.0, asked=[(241.0, False), (245.0, False)])
        solution = states(VALUES, pad_timeline(line, 96, 1, 16))
        assert bool(solution.ok)
        return np.asarray(solution.states)[index]

    dose = DoseEvent(0.0, 200.0, "iv", addl=40, ii=6.0, duration=2.0)
    steady = end(replace(dose, time=240.0, addl=0, ss=1))
    np.testing.assert_allclose(steady, end(dose), rtol=1e-6)
    alone, again = replace(dose, time=240.5, addl=0), replace(dose, time=240.5, addl=0, reset=True)
    np.testing.assert_allclose(end(replace(dose, addl=39), again)[1], end(alone)[1], rtol=1e-6)


@pytest.mark.validate
def test_in_reverse_mode_too():
    found = [solved(model, TIGHT) for model in (DRIVEN, WHOLE)]
    for record in RECORDS.values():
        same(found[0](record, change=0.4), found[1](record, change=0.4), 1e-7)


# ka equal to the elimination of nothing else, to both rates of the exchange but for a rounding error, and very fast
SLOW, FAST = np.sort(-np.linalg.eigvals([[-5.0 / 30.0, 2.0 / 40.0], [2.0 / 30.0, -2.0 / 40.0]]).real)


@pytest.mark.parametrize("ka", [SLOW, FAST * (1 + 1e-9), 300.0])
def test_rates_may_be_equal_nearly_equal_or_very_fast(driven, whole, ka):
    doses = (replace(ORAL, addl=1, ii=10.0),)
    same(driven(doses, ka=ka), whole(doses, ka=ka), 3e-7)


@pytest.mark.validate
def test_the_first_step_does_not_pass_over_an_absorption_that_is_over_at_once(driven):
    """At the usual tolerance; a first step that is left to choose itself is off by 3e-5."""
    usual = solved(replace(DRIVEN, dosing=()), Accuracy(gradient=False))
    states, _ = usual((replace(ORAL, lag=VALUES["lag"], bioavailability=VALUES["F"]),), ka=3000.0)
    np.testing.assert_allclose(states, driven((ORAL,), ka=3000.0)[0], rtol=1e-6, atol=1e-6)


def test_two_compartments_without_exchange_or_elimination_stay_finite(driven, whole):
    doses = (ORAL, replace(IV, duration=2.0))
    gone = {"Q": 1e-120, "CL": 1e-120}
    same(driven(doses, **gone), whole(doses, **gone), 1e-7)


def test_a_grid_need_not_be_stable_for_the_drug(whole):
    """Absorption at 40/h on steps of 0.05 to 0.6 h: an explicit step of the whole system is stable up to 3.3 / 40."""
    arrived = (replace(ORAL, lag=VALUES["lag"], bioavailability=VALUES["F"]),)
    states, _ = solved(GRID)(arrived, ka=40.0)
    wanted, _ = whole((ORAL,), ka=40.0)
    np.testing.assert_allclose(states, wanted, rtol=1e-4, atol=1e-6)


def test_an_amount_that_has_left_is_nothing_and_not_less():
    """Without care the sum is -5e-15 somewhere on this course."""
    ka, ke, dose = 2.2578480581073417, 4.777493419084612, 50.48968555507705
    course, ok = course_of(((-ka, 0.0), (ka, -ke)), (0.0, 0.0), (dose, 0.0), ((0,), (1,)), 40.0)
    late = np.array(course.at(jnp.linspace(0.0, 40.0, 4001)))
    assert ok and (late >= 0).all() and late[:, -1].max() < 1e-12


def test_the_course_is_scipy_s_exponential():
    rng = np.random.default_rng(2)
    for size, groups in ((1, ((0,),)), (3, ((0,), (1, 2))), (4, ((0, 1), (2,), (3,)))):
        matrix = np.tril(rng.uniform(0.1, 2.0, (size, size)))
        for group in groups:
            for i in group:
                for j in group:
                    matrix[i, j] = rng.uniform(0.1, 2.0)
        matrix -= np.diag(matrix.sum(axis=0) + np.diag(matrix))
        constant, begin = rng.uniform(0.0, 30.0, size), rng.uniform(0.0, 5.0, size)
        course, ok = course_of(matrix.tolist(), constant.tolist(), begin.tolist(), groups, 50.0)
        whole = np.block([[matrix, constant[:, None]], [np.zeros((1, size + 1))]])
        for time in (0.0, 1e-7, 0.03, 1.0, 50.0):
            wanted = (expm(whole * time) @ np.append(begin, 1.0))[:size]
            np.testing.assert_allclose(course.at(time), wanted, rtol=1e-10, atol=1e-11)
        assert ok


def test_rates_that_differ_by_a_rounding_error_lose_no_digits():
    """A transit chain whose quotients of differences would be wrong by 200 and more."""
    matrix = [[-1.0, 0.0, 0.0], [1.0, -1.0 - 1e-9, 0.0], [0.0, 1.0 + 1e-9, -1.0 + 1e-9]]
    course, _ = course_of(matrix, [1.0, 0.0, 0.0], [5.0, 0.0, 0.0], ((0,), (1,), (2,)), 10.0)
    whole = np.zeros((4, 4))
    whole[:3, :3], whole[0, 3] = matrix, 1.0
    for time in (0.1, 1.0, 10.0):
        np.testing.assert_allclose(course.at(time), (expm(whole * time) @ [5.0, 0.0, 0.0, 1.0])[:3], rtol=1e-12)


def test_what_grows_or_flows_beyond_all_bounds_is_not_followed():
    for rate in (1e7, -1e9, np.nan, np.inf):
        course, ok = course_of(((rate,),), (1.0,), (1.0,), ((0,),), 1.0)
        assert not ok and np.isfinite(course.at(1.0)).all()


def with_field(**terms):
    """The model with a state's slope exchanged, functions of (t, y, p)."""

    def changed(t, y, p, u):
        return field(t, y, p, u) | {name: term(t, y, p) for name, term in terms.items()}

    return replace(DRIVEN, vector_field=changed)


FOUND = {
    "as it is": ({}, {"depot", "central", "peripheral"}),
    "a depot that fills itself": ({"depot": lambda t, y, p: 0.5 - p.ka * y.depot}, {"depot", "central", "peripheral"}),
    "all linear, solved exactly as a whole": ({"response": lambda t, y, p: p.kout * (y.central - y.response)}, set()),
    "absorption that saturates": ({"depot": lambda t, y, p: -y.depot / (1 + y.depot)}, set()),
    "elimination that saturates": ({"central": lambda t, y, p: p.ka * y.depot - saturation(y.central, p.V)}, {"depot"}),
    "clearance that wanes": (
        {"central": lambda t, y, p: p.ka * y.depot - exponential_decline(t, p.Q) * y.central},
        {"depot"},
    ),
    "the response acts on the drug": ({"peripheral": lambda t, y, p: p.Q * y.central - y.response**2}, {"depot"}),
    "two that may swing": ({"peripheral": lambda t, y, p: -p.Q * y.central - y.peripheral}, {"depot"}),
    "two that may or may not": ({"peripheral": lambda t, y, p: (p.Q - p.V) * y.central - y.peripheral}, {"depot"}),
}


@pytest.mark.parametrize("case", FOUND)
def test_what_drives_the_rest_is_the_largest_linear_part_that_depends_on_nothing_else(case):
    terms, wanted = FOUND[case]
    drivers = drivers_of(with_field(**terms))
    assert {STATES[k] for driver in drivers for k in driver.states} == wanted


def test_every_group_comes_after_what_it_depends_on():
    assert drivers_of(DRIVEN) == (Driver((2, 1, 3), ((0,), (1, 2))),)
    assert drivers_of(WHOLE) == () and drivers_of(load_model("theophylline")) == ()


def test_drugs_that_have_nothing_to_do_with_each_other_are_apart(tmp_path):
    model = write_every_block(tmp_path / "every_block")
    found = [{model.states[k] for k in driver.states} for driver in drivers_of(model)]
    assert sorted(map(sorted, found)) == [["c0", "c1", "c2"], ["depot", "one", "site"], ["virtual"]]
