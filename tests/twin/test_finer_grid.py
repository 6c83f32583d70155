"""A patient whose fast dynamics the model's grid of steps cannot carry has the posterior of the closed form all the
same: the twin takes a finer grid, says so, keeps it, and goes on with it."""

import numpy as np
import pytest
from level_model import as_population

from bayestwin.records import Lab, PatientRecord
from bayestwin.specification import load_model
from bayestwin.twin import grid, load_twin, newer, rebuild_twin, start_twin, update_twin
from bayestwin.twin.grid import BORNE

DECAY = '''
"""A level that decays to nothing from under its unstable equilibrium at 100, solved in steps of a week."""
from bayestwin.specification import *

def initial_state(p):
    return {"level": 60.0}

def vector_field(t, y, p, u):
    return {"level": -p.k * y.level * (1.0 - y.level / 100.0)}

model = Model(
    name="decay", time_unit="day", states=("level",), initial_state=initial_state, vector_field=vector_field,
    steps=Steps(first=7.0, growth=1.0, largest=7.0),
    parameters=(
        Parameter("k", unit="1/day", scale="log", typical=LogNormal(median=0.25, sd_log=0.2),
                  between=HalfNormal(sd=0.6)),
    ),
    outputs={"m_protein": lambda t, y, p, u: y.level},
    observations=(Observation("m_protein", unit="g/L", error=Additive(sd=Fixed(value=1.0)), plausible=(-100.0, 100.0),
                              positive=False),),
)
'''
MEDIAN, OMEGA = 0.25, 0.6
DAYS, SEEN = (7.0, 14.0), (4.5, 0.4)  # k of 0.5 a day leaves 4.3 and 0.1 g/L
SIZES = {"particles": 800, "islands": 4, "population_draws": 10}


@pytest.fixture(scope="module")
def population(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "decay"
    folder.mkdir()
    (folder / "model.py").write_text(DECAY, encoding="utf-8")
    return as_population(load_model(folder), {"k_pop": np.full(10, MEDIAN), "omega_k": np.full(10, OMEGA)})


def record(days=DAYS, seen=SEEN):
    return PatientRecord("D-1", labs=tuple(Lab(f"m@{t:g}", "m_protein", t, v, t) for t, v in zip(days, seen)))


def exact(days=DAYS, seen=SEEN):
    """Mean and SD of ln k, by quadrature over the closed form."""
    x = np.linspace(np.log(MEDIAN) - 6 * OMEGA, np.log(MEDIAN) + 6 * OMEGA, 20_001)
    level = 100.0 / (1.0 + (100.0 / 60.0 - 1.0) * np.exp(np.exp(x)[:, None] * np.asarray(days)))
    log = -0.5 * ((x - np.log(MEDIAN)) / OMEGA) ** 2 - 0.5 * ((np.asarray(seen) - level) ** 2).sum(axis=1)
    share = np.exp(log - log.max())
    share /= share.sum()
    mean = share @ x
    return mean, np.sqrt(share @ (x - mean) ** 2)


def moments(twin):
    x = np.asarray(twin.particles.psi[:, 0])
    mean = twin.weights @ x
    return mean, np.sqrt(twin.weights @ (x - mean) ** 2)


def is_exact(twin, days=DAYS, seen=SEEN):
    (mean, sd), mine = exact(days, seen), moments(twin)
    assert mine[0] == pytest.approx(mean, abs=4 * twin.info.monte_carlo_error["k"])
    assert mine[1] == pytest.approx(sd, rel=0.1)


def test_from_scratch(population, tmp_path):
    twin = start_twin(population, record(), random_seed=1, **SIZES)
    is_exact(twin)
    assert twin.finer in grid.FINER and any("solved in steps of at most" in why for why in twin.info.reasons)
    assert twin.info.solver_failures <= BORNE
    assert load_twin(twin.save(tmp_path / "twin.nc"), population.model).finer == twin.finer


def test_lab_by_lab(population):
    twin = start_twin(population, record((), ()), random_seed=1, **SIZES)
    assert twin.finer == 1
    said = []
    for k in (1, 2):
        twin, info = update_twin(twin, record(DAYS[:k], SEEN[:k]), random_seed=1 + k, population=population)
        said += [why for why in info.reasons if "solved in steps" in why]
    is_exact(twin)
    assert twin.finer in grid.FINER and said


def test_without_it_the_fast_end_of_the_posterior_is_lost_and_the_twin_is_withheld(population, monkeypatch):
    """The check can fail: on the grid of the model all particles stand where the solver gives up."""
    monkeypatch.setattr(grid, "FINER", ())
    twin, info = rebuild_twin(population, record(), random_seed=1, **SIZES)
    (mean, sd), mine = exact(), moments(twin)
    assert mine[0] < mean - 0.3 * sd and mine[1] < 0.1 * sd
    assert info.verdict == "WITHHELD" and any("gave up" in why for why in info.reasons)
    assert info.solver_failures > grid.MOST_FAILED


def test_a_later_lab_of_a_twin_with_two_response_classes(level_population, level_record, monkeypatch):
    """Whether a draw fails is said for each class; all of one class failing asks for the next grid, twice."""
    record = level_record((20.0, 20.5, 12.5), drug_at=2.5)
    twin = start_twin(level_population, record.with_labs(record.labs[:2]), random_seed=1, **SIZES | {"particles": 400})
    solve, asked = newer.solve_through, []

    def with_failures(twin, *arguments):
        found = solve(twin, *arguments)
        ok = np.asarray(found.pieces.ok).copy()
        ok[:, 0] = twin.finer == 4
        asked.append((twin.finer, ok.shape[1]))
        return found._replace(pieces=found.pieces._replace(ok=ok))

    monkeypatch.setattr(newer, "solve_through", with_failures)
    moved, info = update_twin(twin, record, random_seed=2, population=level_population)
    assert asked == [(1, 2), (2, 2), (4, 2)] and moved.finer == 4
    assert any("solved in steps" in why for why in info.reasons)
