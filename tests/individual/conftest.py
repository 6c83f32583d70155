"""Shared by the tests of individual/: 64-bit numbers, draws of the prior, compiled likelihoods, models on paper."""

import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.individual import Hyper, class_likelihood, response_structure, total_log_likelihood
from bayestwin.individual.missing import numbers_of
from bayestwin.individual.parameters import to_transformed
from bayestwin.records.record import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification import (
    Additive,
    Combined,
    Fixed,
    LogNormal,
    LogNormalError,
    Model,
    Observation,
    Parameter,
    Progression,
    Proportional,
    SerologicalRule,
    load_model,
)

sys.path.insert(0, str(Path(__file__).parent))  # dosing_model.py


@pytest.fixture(scope="module", autouse=True)
def sixty_four_bits():
    """All numbers of these tests are 64-bit; the flag is put back."""
    with jax.enable_x64(True):
        yield


def middle(prior):
    """Median of a prior, natural scale."""
    for name in ("median", "value", "mean"):
        if hasattr(prior, name):
            return getattr(prior, name)
    return 0.6745 * prior.sd


def typical_hyper(model, rho=0.0) -> Hyper:
    """The population draw at every prior median, without correlation except the declared one."""
    effects = [getattr(e, "exponent", None) or getattr(e, "slope", None) or e.shift for _, _, e in model.effects]
    omega = [middle(model.parameters[i].between) for i in model.varying]
    omega += [1.0] if model.response_correlation else []
    omega += [middle(d.sd) for d in model.drift for _ in range(d.steps)]
    omega += [1.0 for names in model.latent_covariates.values() for _ in names]
    shares = {site: middle(prior) for one in model.covariate_distributions for site, prior in one.sites.items()}
    return Hyper(
        typical=jnp.array([float(to_transformed(jnp.asarray(middle(p.typical)), p.scale)) for p in model.parameters]),
        effects=jnp.array([middle(prior) for prior in effects], dtype=float),
        omega=jnp.array(omega),
        correlation=jnp.asarray(response_structure(model, rho)),
        sigma=jnp.array([middle(prior) for prior in model.residual_parameters.values()]),
        covariates=jnp.array(numbers_of(model, shares)) if shares else None,
    )


# These programs run once: compiling them without optimisation takes a third of the time.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@lru_cache
def pieces_of(model):
    """Compiled (psi, hyper, data, rho, state) -> ClassLikelihood."""

    def pieces(psi, hyper, data, rho, state=None):
        return class_likelihood(model, psi, hyper, data, rho=rho, state=state)

    return jax.jit(pieces, compiler_options=QUICK)


LANES = 160  # twice the typical values of the myeloma model and two more: finite differences of all at once


@lru_cache
def everything_of(model):
    """One compiled program for many patients: total log-likelihood, its pieces, and its gradient."""

    def total(psi, hyper, data, rho):
        pieces = class_likelihood(model, psi, hyper, data, rho=rho)
        return total_log_likelihood(pieces), pieces

    many = jax.vmap(jax.value_and_grad(total, argnums=(0, 1), has_aux=True), in_axes=(0, 0, None, None))
    return jax.jit(many, compiler_options=QUICK)


def totals_of(model):
    """Total log-likelihood of LANES (psi, hyper) at once."""
    return lambda psi, hyper, data, rho: everything_of(model)(psi, hyper, data, rho)[0][0]


def alone(tree):
    return jax.tree.map(lambda a: jnp.broadcast_to(a, (LANES, *np.shape(a))), tree)


def slope_of(model):
    """Gradient of the total log-likelihood with respect to psi and hyper."""

    def slope(psi, hyper, data, rho):
        return jax.tree.map(lambda a: a[0], everything_of(model)(alone(psi), alone(hyper), data, rho)[1])

    return slope


def whole_pieces_of(model):
    """ClassLikelihood of one patient by the same program, so that it is compiled once."""

    def pieces(psi, hyper, data, rho):
        return jax.tree.map(lambda a: a[0], everything_of(model)(alone(psi), alone(hyper), data, rho)[0][1])

    return pieces


def lab(output, time, value, censoring="none", order=-1, number=0):
    return Lab(f"L{output}{time}{number}", output, float(time), float(value), float(time), censoring, order=order)


@pytest.fixture(scope="session")
def theophylline():
    return load_model("theophylline")


@pytest.fixture(scope="session")
def myeloma():
    return load_model("myeloma_car_t")


@pytest.fixture(scope="session")
def theophylline_record():
    """One oral dose of 320 mg and six concentrations (made up), one of them below a limit."""
    values = [(0.5, 4.1), (1.0, 6.6), (2.0, 8.4), (5.0, 7.4), (9.0, 5.2), (24.0, 1.6)]
    labs = (*(lab("concentration", t, v) for t, v in values), lab("concentration", 48.0, 0.5, "left"))
    return PatientRecord("P-001", labs=labs, doses=(DoseEvent(0.0, 320.0, "oral"),), covariates={"weight_kg": 80.0})


@pytest.fixture(scope="session")
def myeloma_record():
    """Bridging on day 4, ide-cel on day 49, all three markers, a censored lab of each kind (made up)."""
    labs = [lab("m_protein", t, v) for t, v in ((0, 19.0), (28, 15.0), (77, 5.0), (105, 2.4))]
    labs += [lab("m_protein", 160, 0.5, "left"), lab("involved_flc", 0, 180.0), lab("involved_flc", 77, 15.0)]
    labs += [lab("transgene", t, v) for t, v in ((59, 90_000.0), (70, 60_000.0))]
    labs += [lab("transgene", 30, 50.0, "left"), lab("transgene", 63, 1e5, "right")]
    events = (
        ClinicalEvent("line_of_therapy", 4.0, 4.0, "dara_pd"),
        ClinicalEvent("infusion", 49.0, 49.0, "ide_cel"),
        ClinicalEvent("assessed", 160.0, 160.0),
    )
    known = {"isotype": "IgA", "age_years": 71, "sex": "female", "extramedullary": 0, "high_risk_cytogenetics": 1}
    return PatientRecord("P-001", labs=tuple(labs), events=events, covariates=known)


def nothing_happens(t, y, p, u):
    return {"size": 0.0 * y.size}


@pytest.fixture(scope="session")
def every_error():
    """A model with one output per error model and shape; predictions are given by hand."""
    errors = {
        "additive": Additive(sd=Fixed(value=0.7)),
        "proportional": Proportional(cv=Fixed(value=0.2)),
        "combined": Combined(sd=Fixed(value=0.5), cv=Fixed(value=0.1)),
        "lognormal": LogNormalError(sd=Fixed(value=0.3)),
        "additive_t": Additive(sd=Fixed(value=0.7), nu=5.0),
        "combined_t": Combined(sd=Fixed(value=0.5), cv=Fixed(value=0.1), nu=3.0),
        "lognormal_t": LogNormalError(sd=Fixed(value=0.3), nu=4.0),
        "lognormal_low": LogNormalError(sd=Fixed(value=0.3), low=Fixed(value=8.0 / 3.0)),
    }
    return Model(
        name="every_error",
        time_unit="day",
        states=("size",),
        initial_state=lambda p: {"size": p.size0},
        vector_field=nothing_happens,
        parameters=(
            Parameter("size0", unit="", scale="log", typical=LogNormal(median=1, sd_log=1), between=Fixed(value=1.0)),
        ),
        outputs={name: (lambda t, y, p, u: y.size) for name in errors},
        observations=tuple(Observation(name, unit="", error=e, plausible=(0, 1e9)) for name, e in errors.items()),
    )


@pytest.fixture(scope="session")
def hazards_in_closed_form():
    """Hazards death = h t (zero at the start) and relapse = q, so H_death(t) = h t^2 / 2 and H_relapse(t) = q t."""
    return Model(
        name="hazards_in_closed_form",
        time_unit="day",
        states=("size",),
        initial_state=lambda p: {"size": 1.0},
        vector_field=nothing_happens,
        parameters=(
            Parameter("h", unit="", scale="log", typical=LogNormal(median=0.002, sd_log=1), between=Fixed(value=1.0)),
            Parameter("q", unit="", scale="log", typical=LogNormal(median=0.01, sd_log=1)),
        ),
        outputs={"size": lambda t, y, p, u: y.size},
        hazards={"death": lambda t, y, p, u: p.h * t, "relapse": lambda t, y, p, u: p.q},
        observations=(Observation("size", unit="", error=Additive(sd=Fixed(value=1.0)), plausible=(0, 10)),),
        endpoints=(
            Progression(
                rules=(SerologicalRule("size", relative=0.25, absolute=1.0),),
                visit_every=28.0,
                progression_hazards=("relapse",),
                death_hazard="death",
            ),
        ),
    )


@pytest.fixture(scope="session")
def two_ways_out(hazards_in_closed_form):
    """The same with a second way to progress (rate 3 q) and to die (rate q), which records name."""
    (endpoint,) = hazards_in_closed_form.endpoints
    ways = {"progression_hazards": ("relapse", "extramedullary"), "other_death_hazards": ("infection",)}
    named = {"extramedullary": ("plasmacytoma",), "infection": ("sepsis",)}
    return replace(
        hazards_in_closed_form,
        hazards={
            **hazards_in_closed_form.hazards,
            "extramedullary": lambda t, y, p, u: 3.0 * p.q,
            "infection": lambda t, y, p, u: p.q,
        },
        endpoints=(replace(endpoint, **ways, recorded_as=named),),
        name="two_ways_out",
    )


@pytest.fixture(scope="session")
def compiled():
    """Compiled functions shared by all tests: small pieces(model), totals(model), slope(model), pieces(model)."""
    return pieces_of, totals_of, slope_of, whole_pieces_of


@pytest.fixture(scope="session")
def at_medians():
    """typical_hyper(model, rho)."""
    return typical_hyper


@pytest.fixture(scope="session")
def make_lab():
    """lab(output, time, value, censoring, order, number)."""
    return lab


@pytest.fixture(scope="session")
def stack_draws():
    """One Hyper repeated n times."""
    return lambda hyper, n: jax.tree.map(lambda a: jnp.broadcast_to(a, (n, *np.shape(a))), hyper)
