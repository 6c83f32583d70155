"""Arms of published trials at fixed virtual patients, smooth in the population parameters: what a fit to them needs.

The equations are those of the model (`mechanism.vector_field`, `hazards.HAZARDS`, `natural_values`); only the solver is
another, a coarse grid with the exact solution of what is linear, because a fit asks for some ten thousand arms and for
gradients. With s the source of M-protein, log-linear between grid points, and r its slope there:

    ln S, ln R    Heun's step of d ln S/dt, d ln R/dt        integrals of hazards   trapezoids
    P(t + h) = P(t) e^(-kP h) + s e^(-kP h) (e^((r + kP) h) - 1) / (r + kP)

Each virtual patient has fixed covariates, standard normals and assay errors (scrambled Sobol points for what matters
most), and is simulated in both response classes, which are then weighted. What its labs come to stands in arm_labs.py.
`tests/dynamics/test_myeloma_arms.py` holds states, hazards and outcomes against the model's own solver and coding.
"""

from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from scipy.stats import norm, qmc, truncnorm

from bayestwin.dynamics.names import parameters_at
from bayestwin.individual.parameters import (
    class_log_probability,
    covariate_terms,
    in_other_class,
    natural_values,
    response_structure,
)
from bayestwin.specification.evidence import Constant, Shares

from . import hazards, mechanism
from .arm_labs import best_response, entry, outcomes_of
from .mrd import SHIFT, USUAL, ln_share

NOTHING = 1e-30  # g/L/day
NEVER = 1.0e6
EARLY = np.array([2.0, 4.0, 6.0, 8.0, 11.0, 14.0, 21.0])
MONTH = 365.25 / 12.0


class Unit(NamedTuple):
    """One treatment given to the patients of one arm: treatment, wait in days, the arm's number, its share of it."""

    treatment: str
    wait: float
    arm: int
    share: float


class Nodes(NamedTuple):
    """Fixed virtual patients of U units, N of each: terms (U, N, F), normal (U, N, D) correlated standard normals,
    assay (U, N, V, 2) standard errors of M-protein and light chains, treated (U, treatments) 1 for the one that is
    given, wait (U,); counted (U,) the last visit that counts for a response."""

    terms: np.ndarray
    normal: np.ndarray
    assay: np.ndarray
    treated: np.ndarray
    wait: np.ndarray
    counted: np.ndarray


def units_of(arms) -> list[Unit]:
    """The units of these arms, those who never get the treatment and get another instead as one of their own."""
    found = []
    for number, arm in enumerate(arms):
        found.append(Unit(arm.treatment, arm.wait, number, 1.0 - arm.not_started))
        if arm.not_started:
            found.append(Unit(arm.instead or "observation", arm.wait, number, arm.not_started))
    return found


def time_grid(horizon: float, visit: float) -> tuple[np.ndarray, np.ndarray]:
    """Days from the start of the treatment, 0 included, and the positions of the visits among them."""
    visits = np.arange(0.0, horizon + visit, visit)
    middle = visits[:6] + visit / 2.0
    grid = np.unique(np.concatenate([visits, middle, EARLY]))
    return grid, np.searchsorted(grid, visits)


def make_nodes(model, arms, units, count: int, horizon: float, seed: int, rho: float) -> Nodes:
    """Virtual patients; `count` a power of two."""
    names, rng = model.individual_names, np.random.default_rng(seed)
    chol = np.linalg.cholesky(response_structure(model, rho))
    terms, normals, assays, treated, counted = [], [], [], [], []
    for number, unit in enumerate(units):
        arm = arms[unit.arm]
        grid, at = time_grid(horizon, arm.visit_every)
        visits = len(at)
        by = np.inf if arm.response_by is None else arm.response_by * MONTH - unit.wait
        counted.append(max(int(np.searchsorted(grid[at], by + 1e-9, side="right")) - 1, 0))
        first = [
            "g",
            f"f_{unit.treatment}",
            "frailty",
            f"kS_{unit.treatment}",
            "P0",
            "kP",
            f"Cmax_{unit.treatment}",
            "Tmax",
            "alpha",
        ]
        first = [name for name in first if name in names]
        points = qmc.Sobol(len(first) + len(arm.mix), seed=seed + number).random(count)
        points = np.clip(points, 1e-9, 1.0 - 1e-9)
        z = rng.standard_normal((count, len(names)))
        for k, name in enumerate(first):
            z[:, names.index(name)] = norm.ppf(points[:, k])
        patients = [
            {name: level(one, u) for (name, one), u in zip(arm.mix.items(), row)} for row in points[:, len(first) :]
        ]
        terms.append([covariate_terms(model, patient) for patient in patients])
        normals.append(z @ chol.T)
        assays.append(rng.standard_t(5.0, (count, visits, 2)))
        treated.append([float(name == unit.treatment) for name in model.treatment_names])
    stacked = (np.array(a) for a in (terms, normals, assays, treated, [u.wait for u in units], counted))
    return Nodes(*stacked)


def level(one, u: float):
    """The value of a covariate at quantile u of its mix."""
    if isinstance(one, Constant):
        return one.value
    if isinstance(one, Shares):
        at = int(np.searchsorted(np.cumsum(one.shares), u * sum(one.shares)))
        return one.levels[min(at, len(one.levels) - 1)]
    low, high = ((x - one.mean) / one.sd for x in (one.minimum, one.maximum))
    return one.mean + one.sd * truncnorm.ppf(u, low, high)


class _Doing:
    """`u` of the model's functions: one treatment since `start`, nothing before."""

    def __init__(self, names, treated, since):
        self._on = dict(zip(names, jnp.unstack(treated)))
        self._since = since

    def on(self, name):
        return self._on[name]

    def since(self, name):
        return jnp.where(self._on[name] > 0, self._since, -NEVER)


def trajectory(model, values, treated, wait, grid):
    """M-protein, ln burden, and the integrals from time zero of the hazards of progression and of death, all (T,).

    values : natural values of one patient, response class included; grid (T,) days from the start of the treatment
    """
    names = model.treatment_names

    def at(t, y, on=treated):
        p, u = parameters_at(model, values, t + wait), _Doing(names, on, t)
        burden = {**y, "normal_cells": 0.0, "ln_reference": 0.0, "nadir": 0.0, "line": 0.0}
        slope = mechanism.vector_field(t, SimpleNamespace(**burden), p, u)
        rates = {name: h(t, SimpleNamespace(**y), p, u) for name, h in hazards.HAZARDS.items()}
        progression = rates["progression_other"] + rates["extramedullary_progression"]
        return slope, jnp.stack([progression, rates["death"] + rates["infection_death"]]), p.kP

    def step(carry, interval):
        t, h = interval
        y, total, (slope, rate, kP) = carry
        ahead = {k: y[k] + h * slope[k] for k in ("ln_sensitive", "ln_resistant")} | {"m_protein": y["m_protein"]}
        later, _, _ = at(t + h, ahead)
        new = {k: y[k] + 0.5 * h * (slope[k] + later[k]) for k in ("ln_sensitive", "ln_resistant")}
        source, after = (
            jnp.maximum(one["m_protein"] + kP * y["m_protein"], NOTHING) for one in (slope, later)
        )  # of a burden killed to nothing it is zero
        x = jnp.log(after / source) + kP * h
        x = jnp.where(jnp.abs(x) < 1e-6, 1e-6, x)
        new["m_protein"] = jnp.exp(-kP * h) * (y["m_protein"] + source * h * jnp.expm1(x) / x)
        found = at(t + h, new)
        total = total + 0.5 * h * (rate + found[1])
        return (new, total, found), (new["m_protein"], jnp.logaddexp(new["ln_sensitive"], new["ln_resistant"]), total)

    y = _at_start(model, values, treated, wait)
    nothing = jnp.zeros_like(treated)
    untreated = 0.5 * wait * (at(-wait, _untreated(values, 0.0), nothing)[1] + at(-1e-6, y, nothing)[1])
    _, (m, ln_b, total) = jax.lax.scan(
        step, (y, untreated, at(0.0, y)), (jnp.asarray(grid[:-1]), jnp.asarray(np.diff(grid)))
    )
    start = (y["m_protein"], jnp.logaddexp(y["ln_sensitive"], y["ln_resistant"]), untreated)
    return tuple(jnp.concatenate([jnp.asarray(a)[None], b]) for a, b in zip(start, (m, ln_b, total)))


def _untreated(values, ln_b):
    half = ln_b + jnp.log(0.5)
    return {"ln_sensitive": half, "ln_resistant": half, "m_protein": values["P0"] * jnp.exp(values["gamma"] * ln_b)}


def _at_start(model, values, treated, wait):
    """State when the treatment starts, the burden split; M-protein in step with a burden that grew while waiting."""
    p, u = parameters_at(model, values, wait), _Doing(model.treatment_names, treated, 0.0)
    ln_b = p.g * wait
    lag = p.kP / (p.kP + p.gamma * p.g)  # M-protein of a burden that grows at a constant rate
    grown = _untreated(values, ln_b)
    grown["m_protein"] = values["P0"] * (lag * jnp.exp(p.gamma * ln_b) + (1.0 - lag) * jnp.exp(-p.kP * wait))
    y = SimpleNamespace(**grown, normal_cells=0.0, ln_reference=0.0, nadir=0.0, line=0.0)
    split = mechanism.at_treatment(y, p, u)
    return {k: split[k] for k in ("ln_sensitive", "ln_resistant", "m_protein")}


class Marrow(NamedTuple):
    """What a marrow sample sees of the disease (mrd.py), K ways: mean and SD of ln c (K,)."""

    shift: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, model):
        """As the lab of the model has it, one way."""
        shift, sd = (
            model.parameters[model.parameter_names.index(SHIFT.name)],
            model.residual_parameters["sigma_log_mrd"],
        )
        return cls(np.array([shift.typical.value]), np.array([sd.value]))

    def negative(self, share, ln_b, sensitivity=USUAL):
        """Chance (..., K) that a test of this sensitivity finds none; share of plasma cells at baseline, ln_b (...) ln
        burden relative to baseline."""
        return ndtr((jnp.log(sensitivity) - ln_share(share, ln_b, 0.0)[..., None] - self.shift) / self.sd)


def simulate(model, hyper, shift, nodes: Nodes, grid, at, rho, sigma, marrow: Marrow | None = None):
    """Chances of every node, classes weighted, times its weight `entered` (U, N): response, complete_response (U, N),
    pfs, os and products of them (U, N, V).

    hyper : `Hyper` of one population; shift (U, Q) : added to the typical values of each unit (between trials)
    marrow : adds mrd_negative (U, N, K), at the usual sensitivity and the lowest burden, and mrd_and_pfs (U, N, K, V)
    """
    rule = model.progression.rule_for({})
    chains = model.progression.rule_for({"isotype": "light_chain"})
    varying = np.array(model.varying, dtype=int)

    def patient(terms, normal, assay, treated, wait, counted, moved):
        own = hyper._replace(typical=hyper.typical + moved)
        typical = own.typical + _effects(model, own, terms)
        mean = jnp.concatenate([typical[varying], jnp.zeros(len(model.individual_names) - len(varying))])
        psi = mean + own.omega * normal
        values = natural_values(model, psi, own, terms)
        ones = jnp.array([treated[model.treatment_names.index(c.treatment)] for c in model.response_classes])
        p = jnp.exp(class_log_probability(model, psi, own, terms, jnp.ones(len(ones)), ones, rho)) * (ones.sum() > 0)

        def as_class(non):
            mine = values | {
                c.parameter: jnp.where(non, in_other_class(model, c, values), values[c.parameter])
                for c in model.response_classes
            }
            m, ln_b, total = trajectory(model, mine, treated, wait, grid)
            seen = outcomes_of(mine, m[at], ln_b[at], sigma, assay, rule, chains)
            alive = jnp.exp(-total[at, 1])
            pfs = seen.free * jnp.exp(-(total[at, 0] - total[0, 0])) * alive
            until = jnp.minimum(jnp.arange(len(pfs)), counted)  # nothing more counts after the data cut
            best = (best_response(by[until], pfs, alive) for by in (seen.response, seen.complete))
            return *best, pfs, alive, ln_b.min()

        response, complete, pfs, alive, lowest = jax.vmap(as_class)(jnp.array([False, True]))
        weight = jnp.stack([1.0 - p, p])
        enters = entry(values)
        found = {
            "response": weight @ response[0],
            "complete_response": weight @ complete[0],
            "pfs": weight @ pfs,
            "os": weight @ alive,
            "response_and_pfs": weight @ response[1],
            "complete_and_pfs": weight @ complete[1],
            "response_and_os": weight @ response[2],
            "complete_and_os": weight @ complete[2],
        }
        if marrow is not None:
            negative = marrow.negative(values["marrow_share"], lowest)
            found |= {
                "mrd_negative": weight @ negative,
                "mrd_and_pfs": jnp.einsum("c,ck,cv->kv", weight, negative, pfs),
            }
        return {"entered": enters} | {name: enters * value for name, value in found.items()}

    over_nodes = jax.vmap(patient, in_axes=(0, 0, 0, None, None, None, None))
    return jax.vmap(over_nodes)(*(jnp.asarray(a) for a in nodes), shift)


def _effects(model, hyper, terms):
    from bayestwin.individual.missing import effects_by_parameter

    return (hyper.effects * terms[: len(model.effects)]) @ effects_by_parameter(model)
