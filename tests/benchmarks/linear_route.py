"""Matrix exponential or adaptive solver for a linear vector field: time by number of states.

    .venv/bin/python tests/benchmarks/linear_route.py [--driven]

A chain of transit compartments into one that eliminates (the number of states varies), 100 patients whose rates differ,
ten doses a day apart and a lab before each. Prints milliseconds for all patients: one solve without a gradient, and one
gradient of a sum of the labs. bayestwin.dynamics.structure.MOST_STATES rests on it.

`--driven`: the chain drives an indirect response, and is solved in closed form beside it (`dynamics/drivers.py`) or as
one system with it, both adaptively; slow and fast rates. CPU milliseconds: a machine may be shared.
"""

import argparse
from dataclasses import replace
from time import perf_counter, process_time

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.dosing import DoseEvent
from bayestwin.dynamics import NO_GRADIENT, Accuracy, build_timeline, initial_values, solve_patient
from bayestwin.dynamics.blocks import eliminated, transit_chain
from bayestwin.dynamics.drivers import drivers_of
from bayestwin.dynamics.structure import is_linear
from bayestwin.records.record import PatientRecord
from bayestwin.specification import Adaptive, Additive, HalfNormal, Linear, LogNormal, Model, Observation, Parameter

PATIENTS, DOSES = 100, 10


def chain_of(states: int) -> Model:
    """A chain of `states` compartments, the last of which eliminates."""
    names = tuple(f"c{k}" for k in range(states))

    def vector_field(t, y, p, u):
        slopes, flow = transit_chain([getattr(y, name) for name in names[:-1]], p.ktr)
        last = flow - eliminated(getattr(y, names[-1]), p.CL, p.V)
        return dict(zip(names, (*slopes, last)))

    def rate(name, median):
        return Parameter(name, unit="", scale="log", typical=LogNormal(median=median, sd_log=0.5))

    return Model(
        name="chain",
        time_unit="day",
        dose_unit="mg",
        states=names,
        initial_state=lambda p: {name: 0.0 for name in names},
        vector_field=vector_field,
        parameters=(rate("ktr", 10.0), rate("CL", 5.0), rate("V", 10.0)),
        outputs={"amount": lambda t, y, p, u: getattr(y, names[-1])},
        observations=(Observation("amount", unit="mg", error=Additive(sd=HalfNormal(sd=1.0)), plausible=(0.0, 1e6)),),
    )


def driving(states: int) -> Model:
    """The chain, and a response whose production its last compartment inhibits."""
    chain = chain_of(states)

    def vector_field(t, y, p, u):
        C = jnp.maximum(getattr(y, chain.states[-1]), 0.0) / p.V
        return chain.vector_field(t, y, p, u) | {"response": 10.0 * p.kout / (1.0 + C) - p.kout * y.response}

    kout = Parameter("kout", unit="", scale="log", typical=LogNormal(median=0.5, sd_log=0.5))
    return replace(
        chain,
        states=(*chain.states, "response"),
        vector_field=vector_field,
        initial_state=lambda p: dict.fromkeys(chain.states, 0.0) | {"response": 10.0},
        parameters=(*chain.parameters, kout),
    )


def milliseconds(model, middle=(10.0, 5.0, 10.0), clock=perf_counter) -> tuple[float, float]:
    """One solve and one gradient of all patients; the best of five."""
    record = PatientRecord("P-1", doses=(DoseEvent(0.0, 100.0, "c0", addl=DOSES - 1, ii=1.0),))
    asked = [(float(t), False) for t in range(1, DOSES + 1)]
    line, index = build_timeline(model, record, start=0.0, end=float(DOSES), asked=asked)
    line = jax.tree.map(jnp.asarray, line)

    def total(z, accuracy):
        values = dict(zip(model.parameter_names, jnp.exp(z)))
        return solve_patient(model, values, initial_values(model, values), line, accuracy).states[index, -1].sum()

    z = np.log(middle) + 0.5 * np.random.default_rng(1).normal(size=(PATIENTS, len(middle)))
    found = []
    for program in (lambda x: total(x, NO_GRADIENT), jax.grad(lambda x: total(x, Accuracy()))):
        many = jax.jit(jax.vmap(program))
        many(z).block_until_ready()
        times = []
        for _ in range(5):
            begun = clock()
            many(z).block_until_ready()
            times.append(clock() - begun)
        found.append(1e3 * min(times))
    return found[0], found[1]


def driven():
    print("states   rates   solve: closed form  as one     gradient: closed form  as one   (CPU ms)")
    with jax.enable_x64(True):
        for states in (1, 2, 4):
            model = driving(states)
            assert drivers_of(model)
            for rate in (5.0, 40.0, 300.0):
                middle = (rate, 5.0, 10.0, 0.5)
                new, old = (milliseconds(replace(model, steps=s), middle, process_time) for s in (None, Adaptive()))
                said = f"{new[0]:16.1f} {old[0]:9.1f} {new[1]:21.1f} {old[1]:9.1f}"
                print(f"{states:6d} {rate:8.0f} {said}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--driven", action="store_true")
    if parser.parse_args().driven:
        driven()
        return
    print("states   solve: exact  adaptive     gradient: exact  adaptive   (ms, 100 patients, 10 doses)")
    with jax.enable_x64(True):
        for states in (2, 3, 4, 6, 8, 10, 12):
            model = chain_of(states)
            assert is_linear(model)
            exact, adaptive = (milliseconds(replace(model, steps=s)) for s in (Linear(), Adaptive()))
            print(f"{states:6d} {exact[0]:14.1f} {adaptive[0]:9.1f} {exact[1]:19.1f} {adaptive[1]:9.1f}", flush=True)


if __name__ == "__main__":
    main()
