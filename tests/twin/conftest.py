"""Shared by the tests of twins: populations made without NUTS, simulated patients, one small model with closed forms.

The small model is a level that does not move, dy/dt = 0, seen with a known normal error: every posterior, predictive
and evidence is known exactly, population uncertainty included, and it compiles in a second.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from level_model import as_population, level_draws, write_level_model, write_occasional_model
from published_theophylline import published_draws

from bayestwin.records import ClinicalEvent, Lab, PatientRecord, read_records
from bayestwin.specification import load_model

SIZES = {"particles": 800, "islands": 4, "population_draws": 100}


@pytest.fixture(scope="session")
def level_model(tmp_path_factory):
    """The level model, loaded from a folder of its own."""
    return load_model(write_level_model(tmp_path_factory.mktemp("models") / "level"))


@pytest.fixture(scope="session")
def occasional_level(tmp_path_factory):
    """The model of a level that varies between up to three occasions."""
    return load_model(write_occasional_model(tmp_path_factory.mktemp("models") / "occasional_level"))


@pytest.fixture(scope="session")
def level_population(level_model):
    """100 draws around a level of 20 with a between-patient SD of about 2."""
    return as_population(level_model, level_draws())


@pytest.fixture(scope="session")
def level_record():
    """level_record(values, times=None, drug_at=None, ...) -> PatientRecord of the level model."""

    def make(values, times=None, drug_at=None, key="L-1"):
        times = range(1, len(values) + 1) if times is None else times
        labs = [Lab(f"m@{t:g}", "m_protein", float(t), float(v), float(t)) for t, v in zip(times, values)]
        events = [] if drug_at is None else [ClinicalEvent("line_of_therapy", float(drug_at), float(drug_at), "drug")]
        return PatientRecord(key, labs=tuple(labs), events=tuple(events))

    return make


@pytest.fixture(scope="session")
def theophylline():
    """Model, population of 100 draws around the published values, and two simulated patients of seven samples."""
    model, draws = load_model("theophylline"), published_draws()
    table = Path(__file__).resolve().parents[2] / "data" / "theophylline_simulated" / "theophylline_simulated.csv"
    cohort = read_records(model.record_schema(), event_table=table, time_unit="h").cohort
    patients = tuple(p.with_labs(p.labs[:7]) for p in cohort.patients[:2])
    return SimpleNamespace(model=model, population=as_population(model, draws), patients=patients)


@pytest.fixture(scope="session")
def sizes():
    """Particles, islands and population draws used throughout, so that programs are compiled once."""
    return dict(SIZES)


@pytest.fixture(scope="session")
def make_population():
    """as_population, for tests that bring their own draws."""
    return as_population


@pytest.fixture(scope="session")
def apart():
    """apart(a, b) -> largest |z| between the posterior means of two twins, from the Monte Carlo errors of both."""

    def z(a, b, names=None):
        found = {}
        for d, name in enumerate(a.model.individual_names):
            if names is None or name in names:
                means = [float((t.weights * np.asarray(t.particles.psi[:, d])).sum()) for t in (a, b)]
                error = np.hypot(a.info.monte_carlo_error[name], b.info.monte_carlo_error[name])
                found[name] = abs(means[0] - means[1]) / max(error, 1e-12)
        return max(found.values())

    return z


@pytest.fixture(scope="session")
def exact_level(level_population):
    """exact_level(values) -> (mean, sd, ln evidence) of the level given untreated labs: a mixture over the draws."""
    hyper, _ = level_population.hyper_draws(SIZES["population_draws"])
    theta, omega = np.asarray(hyper.typical[:, 0]), np.asarray(hyper.omega[:, 0])

    def exact(values, sigma=1.5):
        y, n = np.asarray(values, dtype=float), len(values)
        precision = 1 / omega**2 + n / sigma**2
        mean = (theta / omega**2 + y.sum() / sigma**2) / precision
        residual = (y[None] ** 2).sum(1) / sigma**2 + theta**2 / omega**2 - mean**2 * precision
        log_m = -0.5 * (n * np.log(2 * np.pi * sigma**2) + np.log(omega**2 * precision) + residual)
        w = np.exp(log_m - log_m.max())
        w /= w.sum()
        centre = (w * mean).sum()
        evidence = log_m.max() + np.log(np.exp(log_m - log_m.max()).mean())
        return centre, float(np.sqrt((w * (1 / precision + (mean - centre) ** 2)).sum())), float(evidence), w

    return exact
