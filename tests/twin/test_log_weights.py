"""Log-weights before resampling: what five updates by reweighting add up to is the log-weight of the whole record at
once, particle by particle, to 1e-8 (promise 2 without Monte Carlo error).

Every particle keeps its psi and its population draw, so that both sides are sums of the same likelihood: one by one
from stored states, or anew where a lab came late; at once from the initial state. Where a model has a fixed grid of
steps the updates must lie on that of the whole record: each once began a grid of its own, 2e-8 in the small model,
1.6e-3 in myeloma. Particles that the model's own steps cannot follow are left out: where there are any a twin takes
finer steps from then on (twin/grid.py), and what it had learnt stays as the coarser ones had it.
"""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from level_model import LEVEL, as_population, level_draws

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.individual import compile_record
from bayestwin.population import load_population
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification import load_model, model_folder
from bayestwin.twin import update
from bayestwin.twin.compare import difference
from bayestwin.twin.newer import where_it_stands
from bayestwin.twin.oracle import first_twin, from_population
from bayestwin.twin.particles import Particles, normalised, population_for
from bayestwin.twin.target import evaluator

CLOSE = 1e-8
PARTICLES, ISLANDS = 40, 4
FALLING = ((1.0, 17.0), (8.0, 5.0), (20.0, -1.0), (35.0, 1.5), (60.0, 0.5))
MYELOMA = ((20.0, 15.0), (47.0, 9.0), (75.0, 4.0), (103.0, 2.4), (160.0, 2.0))
IGA = {"isotype": "IgA", "age_years": 71.0, "sex": "female"}
# The level falls by itself, in steps that grow; its drug takes hold on the way; two hazards read it.
CHANGED = {
    "0.0 * y.level": "-0.2 * y.level",
    "Steps(first=1000.0, growth=1.0, largest=1000.0)": "Steps(first=1.0, growth=1.2, largest=4.0)",
    'label="a drug"),),\n': """label="a drug"),),
    hazards={"other": lambda t, y, p, u: 0.0002 * y.level**2, "death": lambda t, y, p, u: 0.0001 * y.level**2},
    endpoints=(Progression(rules=(SerologicalRule("m_protein", relative=0.25, absolute=5.0),), visit_every=28.0,
                           progression_hazards=("other",), death_hazard="death", landmarks_months=(6, 12),
                           horizon_months=12),),
""",
}


def followed(levels, treated, covariates=None):
    """M-protein and an assessment without progression at each visit, and one treatment."""
    labs = tuple(Lab(f"m{t:g}", "m_protein", t, v, t) for t, v in levels)
    free = tuple(ClinicalEvent("assessed", t, t) for t, _ in levels)
    return PatientRecord("W-1", labs=labs, events=(treated, *free), covariates=covariates or {})


def known_from(record, order):
    """The record as it becomes known: its labs in this order, an event with a lab of its time or later."""
    steps = []
    for n in range(len(order) + 1):
        labs = tuple(record.labs[k] for k in order[:n])
        last = max((lab.time for lab in labs), default=float("-inf"))
        events = tuple(e for e in record.events if e.time <= max(last, 0.0))
        steps.append(replace(record, labs=labs, events=events))
    return steps


def solved(model, psi, draw, population, record, rho):
    data = jax.tree.map(jnp.asarray, compile_record(model, record))
    found = evaluator(model, NO_GRADIENT)(psi, draw, population, data, rho)
    return found._replace(rows=found.rows.sum(-1))


def before_any_lab(population, record, whole):
    """A twin of draws from the population that has learnt `record`, all of which can be solved through `whole`."""
    model, draws = population.model, 10
    hyper, _ = population.hyper_draws(draws)
    pop = population_for(model, hyper, compile_record(model, record).terms)
    clouds = [from_population(jax.random.key(k), pop, PARTICLES) for k in (3, 4)]
    fine = [np.asarray(solved(model, *cloud, pop, whole, population.rho).ok).all(axis=-1) for cloud in clouds]
    psi, draw = (jnp.concatenate([a[ok] for a, ok in zip(each, fine)])[:PARTICLES] for each in zip(*clouds))
    assert len(psi) == PARTICLES
    here = solved(model, psi, draw, pop, record, population.rho)
    even = jnp.asarray(normalised(np.zeros(PARTICLES), ISLANDS))
    made = Particles(psi, draw, even, here.rows, here.alive, here.other, here.log_class, here.end)
    return first_twin(population, record, made, pop, ISLANDS, population.rho, 1, SimpleNamespace(verdict="PASS"))


def one_by_one_and_at_once(population, steps, monkeypatch):
    """Summed increments (P,), log-weight at once (P,), and the twin after the last step; all steps reweight."""
    monkeypatch.setattr(update, "pareto_k", lambda log_ratios: -np.inf)  # no moves, however few particles are left
    with jax.enable_x64(True):
        first = twin = before_any_lab(population, steps[0], steps[-1])
        added = np.zeros(PARTICLES)
        for record in steps[1:]:
            change = difference(twin, record)
            moved, info = update._forward(twin, record, change, 1, 1e-12, NO_GRADIENT, None)
            assert info.path == "reweight" and not change.taken_away
            np.testing.assert_array_equal(moved.particles.psi, first.particles.psi)
            added += np.asarray(where_it_stands(moved.particles) - where_it_stands(twin.particles))
            twin = moved
        whole = solved(first.model, first.particles.psi, first.particles.draw, first.population, steps[-1], first.rho)
        pieces = first.particles._replace(labs=whole.rows, alive=whole.alive, other=whole.other)
        at_once = where_it_stands(pieces._replace(log_class=whole.log_class)) - where_it_stands(first.particles)
    return added, np.asarray(at_once), twin


def agree(population, steps, monkeypatch):
    added, at_once, twin = one_by_one_and_at_once(population, steps, monkeypatch)
    assert np.ptp(at_once) > 1.0  # the labs do tell particles apart
    np.testing.assert_allclose(added, at_once, rtol=0, atol=CLOSE)
    weights = normalised(at_once, ISLANDS)
    np.testing.assert_allclose(twin.particles.log_weights, weights, rtol=0, atol=2 * CLOSE)


def test_theophylline(theophylline, monkeypatch):
    record = theophylline.patients[0]
    agree(theophylline.population, known_from(record, range(5)), monkeypatch)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (0, 3, 1, 4, 2)], ids=["in time", "late"])
def test_response_classes_and_event_free_time(tmp_path, monkeypatch, order):
    """The level model with its drug and classes, beside a hazard that reads the level; a drug starts on the way."""
    source = LEVEL
    for before, after in CHANGED.items():
        assert before in source
        source = source.replace(before, after)
    (tmp_path / "model.py").write_text(source, encoding="utf-8")
    drug = ClinicalEvent("line_of_therapy", 10.0, 10.0, "drug")
    agree(as_population(load_model(tmp_path), level_draws()), known_from(followed(FALLING, drug), order), monkeypatch)


@pytest.mark.slow
def test_myeloma_on_its_grid_of_steps(monkeypatch):
    """Cells with a class of non-responders, drift of growth, all hazards, assessments at visits."""
    model = load_model("myeloma_car_t")
    population = load_population(model_folder(model.name) / "population.nc", model)
    cells = ClinicalEvent("infusion", 0.0, 0.0, "ide_cel")
    agree(population, known_from(followed(MYELOMA, cells, IGA), range(5)), monkeypatch)
