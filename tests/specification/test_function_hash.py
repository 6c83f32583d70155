"""Models made in a notebook are equal only where their functions compute the same, values they read included."""

import functools
import subprocess
import sys
import types
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.errors import ModelError
from bayestwin.individual.simulate import simulate_outputs
from bayestwin.specification import Additive, HalfNormal, LogNormal, Model, Observation, Parameter, load_model

SLOWER, HELD = 1.0, {"rates": [1.0, 2.0]}


def start(p):
    return {"c": 0.0}


def level(t, y, p, u):
    return y.c


def made(field, **more):
    sd = HalfNormal(sd=1.0)
    return Model(
        name="notebook",
        time_unit="h",
        states=("c",),
        initial_state=start,
        vector_field=field,
        parameters=(Parameter("k", unit="1/h", scale="log", typical=LogNormal(median=1.0, sd_log=0.5), between=sd),),
        outputs={"c": level},
        **{"routes": {"iv": "c"}, "dose_unit": "mg"} | more,
        observations=(Observation("c", unit="mg/L", error=Additive(sd=sd), plausible=(0, 10)),),
    )


def field_of(factor):
    def vector_field(t, y, p, u):
        return {"c": -factor * p.k * y.c}

    return vector_field


def decline(y):
    return SLOWER * y


def global_field(t, y, p, u):
    return {"c": -p.k * decline(y.c) * HELD["rates"][0]}


def test_two_fields_of_one_factory_are_two_models_each_solved_with_its_own_program():
    assert made(field_of(1.0)) == made(field_of(1.0)) != made(field_of(3.0))
    for factor in (1.0, 3.0):
        found = simulate_outputs(made(field_of(factor)), {"k": 1.0}, (DoseEvent(0, 1.0, "iv"),), [(1.0, False)])
        assert found[0] == pytest.approx(np.exp(-factor), rel=1e-6)


@dataclass(frozen=True)
class Held:
    value: float

    def scaled(self, y):
        return SLOWER * self.value * y


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.ones(3), np.array([1.0, 1.0, 2.0])),
        (jnp.ones(3), jnp.ones(4)),
        ({"a": (1, [2.0])}, {"a": (1, [3.0])}),
        (Held(1.0), Held(2.0)),
        (Held(1.0).scaled, Held(2.0).scaled),
        (field_of(1.0), field_of(2.0)),
        (functools.partial(max, 1.0), functools.partial(max, 2.0)),
        (jnp.exp, jnp.log),
        (np.exp, np.log),
        (1, 1.0),
        (types.SimpleNamespace(a=1.0), types.SimpleNamespace(a=2.0)),
        (load_model("theophylline"), load_model("warfarin")),
    ],
)
def test_every_kind_of_value_in_a_closure_counts(one, other):
    assert made(field_of(one)) == made(field_of(one)) != made(field_of(other))


def test_globals_count_also_those_that_a_helper_reads_and_what_is_inside_them(monkeypatch):
    before = made(global_field)
    hash(before)  # as it is when it is made
    monkeypatch.setitem(globals(), "SLOWER", 2.0)
    assert made(global_field) != before
    monkeypatch.setitem(globals(), "SLOWER", 1.0)
    assert made(global_field) == before
    monkeypatch.setitem(HELD, "rates", [1.5, 2.0])
    assert made(global_field) != before


def test_a_helper_that_is_written_anew_makes_another_model(monkeypatch):
    before = made(global_field)
    hash(before)  # as it is when it is made

    def decline(y):
        return y**2

    monkeypatch.setitem(globals(), "decline", decline)
    assert made(global_field) != before


def test_two_lambdas_of_one_line_and_defaults_are_told_apart():
    one, other = lambda t, y, p, u: {"c": -p.k * y.c}, lambda t, y, p, u: {"c": p.k * y.c}
    assert made(one) != made(other)

    def with_default(k):
        return lambda t, y, p, u, k=k: {"c": -k * y.c}

    assert made(with_default(1.0)) != made(with_default(2.0))


@pytest.mark.parametrize("more", [{"dose_unit": "g"}, {"covariate_units": {"weight": "kg"}}])
def test_units_of_doses_and_covariates_count(more):
    assert made(field_of(1.0), **more) != made(field_of(1.0))


def test_what_a_reading_is_derived_from_counts():
    model = replace(load_model("psa_intermittent"), source_hash="")
    first, second, *rest = model.observations

    def derived(within):
        return replace(
            model, observations=(first, replace(second, derived_from=("psa",), derived_within=within), *rest)
        )

    assert first.output == "psa" and len({model, derived(7.0), derived(14.0)}) == 3


def test_a_value_whose_content_cannot_be_told_is_refused_with_function_and_name():
    model = made(field_of(value for value in ()))
    with pytest.raises(ModelError, match=r"model notebook, vector_field.*cannot be told.*factor.*generator.*folder"):
        model.hash  # noqa: B018


def test_the_hash_is_the_same_in_another_process():
    names = ("myeloma_car_t", "psa_intermittent")
    code = (
        "from dataclasses import replace; from bayestwin.specification import load_model; "
        f"print(*(replace(load_model(name), source_hash='').hash for name in {names}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert found == [replace(load_model(name), source_hash="").hash for name in names]
