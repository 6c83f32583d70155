"""What the fit to published arms expects of an arm against virtual trials by the model's own solver and coding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.population import load_population
from bayestwin.prognosis import virtual_trial
from bayestwin.specification import load_model, model_folder, read_evidence
from bayestwin.specification.load import model_part

DRAWS, SEEDS, MONTH = 40, (1, 2), 365.25 / 12.0
ARMS = ("karmma_ide_cel", "majestec_1", "karmma_3_standard", "pollux_rd", "dreamm_8_pvd")


def at_last_visit(month: float, arm) -> float:
    """The first half month not before the last visit by a month: the fit reads progression there."""
    last = arm.visit_every * np.floor(month * MONTH / arm.visit_every)
    return float(np.ceil(2.0 * last / MONTH) / 2.0)


@pytest.mark.validate
def test_a_fit_to_arms_and_a_virtual_trial_expect_the_same_shares():
    folder, model = model_folder("myeloma_car_t"), load_model("myeloma_car_t")
    population = load_population(folder / "population.nc", model)
    arms = [arm for arm in read_evidence(folder / "evidence.toml", model) if arm.name in ARMS]
    sites = population.tree["posterior"].to_dataset().stack(sample=("chain", "draw")).transpose("sample", ...)
    chosen = np.linspace(0, sites.sizes["sample"] - 1, DRAWS).astype(int)
    with jax.enable_x64(True):
        fit = model_part(model, "evidence_fit")
        no_departure = {f"trial_{x}": jnp.zeros(len(arms)) for x in "fgh"}
        each = []
        for seed in SEEDS:  # the virtual patients of one seed move a share by some 1.5 points (NODE_ERROR)
            evidence = fit.Evidence(model, arms, nodes=256, seed=seed)
            expected = jax.jit(lambda values, of=evidence: of.chances_given(values | no_departure))
            each += [expected({n: jnp.asarray(v.values[k]) for n, v in sites.data_vars.items()}) for k in chosen]
    apart = []
    for k, arm in enumerate(evidence.arms):
        trial = virtual_trial(population, arm, random_seed=1, draws=DRAWS, patients=128)
        curve = trial.curve("pfs")
        for outcome in fit.fitted_outcomes(arm):
            mean = np.mean([float(one[k][fit.name_of(outcome)]) for one in each])
            if outcome.what in ("response", "complete_response"):
                apart.append(mean - trial.draws_of(outcome).mean())
            elif outcome.what == "pfs_median":
                apart.append(mean - curve["mean"][curve["month"] == at_last_visit(outcome.value, arm)][0])
    # 128 patients of 40 draws: each share has a Monte Carlo error of about one point
    assert np.abs(apart).max() < 0.04 and abs(np.mean(apart)) < 0.012, np.round(apart, 3)
