"""CAR-T cells of the model's priors against what was published of their kinetics (CARTITUDE-1; the ide-cel label)."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, logit

from bayestwin.specification import load_model
from bayestwin.specification.load import model_part

MODEL = load_model("myeloma_car_t")
LOG_TRANSGENE = model_part(MODEL, "mechanism").log_transgene
LIMIT = 50.0  # copies/ug
DAYS = np.concatenate([np.arange(0.0, 28.0, 0.25), np.arange(28.0, 1100.0, 4.0)])
PATIENTS, POPULATIONS = 4000, 300


@pytest.fixture(scope="module")
def curve():
    """copies/ug (patients, days) of natural values (patients,), fitness 0."""

    @jax.jit
    def of(values):
        silent = {f"fitness_on_{x}": 0.0 for x in ("expansion", "persistence")} | {
            "fitness": 0.0,
            "lymphodepletion": 0.0,
        }

        def patient(v):
            p = SimpleNamespace(**v, **silent)
            return jnp.exp(LOG_TRANSGENE(DAYS, v["Cmax"], v["fB"], v["beta"], p))

        return jax.vmap(patient)(values)

    return lambda values: np.asarray(of(values))


def patients(product, rng, count, *, wide):
    """Natural values (count,) at the medians of the priors, or each with typical values of its own (`wide`)."""
    found = {}
    for name in ("Cmax", "fB", "beta", "Tmax", "fold", "alpha", "Tlag"):
        one = {p.name: p for p in MODEL.parameters}[name if name in MODEL.parameter_names else f"{name}_{product}"]
        on, back = (logit, expit) if one.scale == "logit" else (np.log, np.exp)
        if not hasattr(one.typical, "median"):
            found[name] = np.full(count, one.typical.value)
            continue
        sd = getattr(one.typical, "sd_log", None) or one.typical.sd_logit
        omega = getattr(one.between, "median", None) or one.between.value
        typical = on(one.typical.median) + (sd * rng.standard_normal(count) if wide else 0.0)
        found[name] = back(typical + (0.0 if wide else omega) * rng.standard_normal(count))
    return found


def exposure(found):
    """Cmax, AUC to day 28 (both (patients,)) and the day from which the transgene stays below the limit."""
    early = DAYS <= 28.0
    last = np.where(found > LIMIT, DAYS, 0.0).max(axis=1)
    return found.max(axis=1), np.trapezoid(found[:, early], DAYS[early], axis=1), last


def test_cilta_cel_expands_and_persists_as_in_cartitude_1(curve):
    cmax, auc, last = exposure(curve(patients("cilta_cel", np.random.default_rng(1), PATIENTS, wide=False)))
    assert cmax.mean() == pytest.approx(48_692, rel=0.06) and cmax.std() == pytest.approx(27_174, rel=0.15)
    assert auc.mean() == pytest.approx(504_496, rel=0.06) and auc.std() == pytest.approx(385_380, rel=0.3)
    assert np.median(last) == pytest.approx(100.0, rel=0.15)


def test_ide_cel_expands_as_its_label_says_and_is_detected_about_as_long(curve):
    found = curve(patients("ide_cel", np.random.default_rng(1), PATIENTS, wide=False))
    cmax, auc, last = exposure(found)
    assert np.exp(np.log(cmax).mean()) == pytest.approx(231_278, rel=0.06)
    assert np.exp(np.log(auc).mean()) == pytest.approx(2.86e6, rel=0.25)
    assert np.mean(last > 183.0) == pytest.approx(0.59, abs=0.15) and np.mean(last > 365.0) == pytest.approx(
        0.36, abs=0.1
    )


@pytest.mark.parametrize("product, persists, within", [("cilta_cel", 100.0, 1.7), ("ide_cel", 230.0, 2.5)])
def test_populations_of_the_priors_are_as_sure_as_a_trial_of_that_size_allows(curve, product, persists, within):
    """Of a typical patient: published Cmax inside, and no population knows the persistence to better than a fifth."""
    cmax, _, last = exposure(curve(patients(product, np.random.default_rng(2), POPULATIONS, wide=True)))
    published = {"cilta_cel": 42_500.0, "ide_cel": 231_278.0}[product]
    low, high = np.quantile(cmax, [0.05, 0.95])
    assert low < published < high and 1.3 < high / low < 4.0
    low, high = np.quantile(last, [0.05, 0.95])
    assert persists / within < low < persists * 0.9 and persists * 1.1 < high < persists * within
