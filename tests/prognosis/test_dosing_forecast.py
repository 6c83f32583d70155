"""Policies and schedules in a model whose doses have a lag: visits fall before, on and after their arrival."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from cycling_model import CYCLING, NOW, started, twin_of, write_cycling_model

from bayestwin.dosing import DoseEvent, Policy, Rule
from bayestwin.dynamics import NO_GRADIENT
from bayestwin.prognosis.particles import forecast_draws
from bayestwin.prognosis.plan import make_plans
from bayestwin.prognosis.policy import follow_policy
from bayestwin.prognosis.simulate import trajectories

pytestmark = pytest.mark.slow  # compiles a model twice

VISITS = 28.0 * np.arange(1, 6)
LAG = 5.0  # the dose of day 95 arrives at the data cut, that of day 123 at the first visit
DOSES = tuple(DoseEvent(float(t), 20.0, "oral", float(t)) for t in (60, 95, 98, 123, 141, 151, 200))
NEVER = Policy(
    (Rule("drug", "marker", below=0.5, while_on="pause"), Rule("pause", "marker", above=1000, while_on="drug"))
)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The cycling model without a fixed grid: with a lag of its own, and without."""
    folder = tmp_path_factory.mktemp("models")
    plain = CYCLING.replace('name="cycling"', 'name="plain"').replace(
        "    steps=Steps(first=2.0, growth=1.2, largest=7.0),\n", ""
    )
    lag = f'Parameter("lag", unit="day", scale="log", typical=Fixed(value={LAG})),\n        Parameter("jump"'
    said = plain.replace('name="plain"', 'name="lagging", dosing=(Dosing("oral", lag="lag"),)').replace(
        'Parameter("jump"', lag
    )
    return write_cycling_model(folder / "lagging", said), write_cycling_model(folder / "plain", plain)


def futures(twin, what, applied):
    """Outputs (P, V, 1) at the visits under a policy or a fixed plan."""
    twin = replace(twin, applied=applied)
    with jax.enable_x64(True):
        draws = forecast_draws(twin, 0.0, np.random.default_rng(1))
        (plan,) = make_plans(twin.model, twin.record, {"row": what}, twin.time, applied=twin.applied, span=1096.0)
        if plan.policy is None:
            found, _, ok = trajectories(twin, draws, plan, NOW + VISITS, past=False, rng=np.random.default_rng(0))
            assert ok.all()
            return found
        how = {"counts_on": ("drug",), "paths": 1, "rng": np.random.default_rng(5), "accuracy": NO_GRADIENT}
        followed = follow_policy(twin, draws, plan, VISITS, np.ones(len(VISITS), dtype=bool), ("marker",), **how)
        assert followed.ok.all()
        return followed.outputs[0]


@pytest.mark.validate
@pytest.mark.parametrize("applied", [False, True])
def test_a_forecast_with_a_lag_of_the_model_is_the_forecast_with_that_lag_in_every_row(models, applied):
    events = (0.0, "drug"), (60.0, "pause")
    lagging = twin_of(models[0], started(*events, doses=DOSES))
    plain = twin_of(models[1], started(*events, doses=tuple(replace(d, lag=LAG) for d in DOSES)))
    expected = futures(plain, "pause", applied)
    np.testing.assert_allclose(futures(lagging, "pause", applied), expected, rtol=2e-5)
    np.testing.assert_allclose(futures(lagging, NEVER, applied), expected, rtol=2e-5)
    start = Policy((Rule("pause", "marker", above=1000, while_on="drug"),), start="drug")
    expected = futures(plain, start, applied)  # the drug halves what is in the depot, on a day on which a dose arrives
    np.testing.assert_allclose(futures(lagging, start, applied), expected, rtol=2e-5)
