"""How a cohort is stacked: long histories by themselves where short ones would wait, and nothing else changes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.individual import class_likelihood, total_log_likelihood
from bayestwin.population.hyper import assemble
from bayestwin.population.stacks import apart, stack_cohort
from bayestwin.records import Cohort, Lab, PatientRecord


def work(groups, overhead=32):
    return sum(g.timeline.start.shape[1] * (overhead + g.mask.shape[0]) for g in groups)


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [
        ([10] * 50, [50]),
        ([500] + [10] * 100, [100, 1]),
        ([10] * 100 + [20] * 100, [200]),  # a further program would not halve the work
        ([10] * 300 + [100] * 100 + [1000] * 40, [300, 100, 40]),
        ([7], [1]),
        ([], []),
    ],
)
def test_a_further_stack_is_made_where_it_halves_the_work(lengths, sizes):
    found = apart(np.array(lengths, dtype=int))
    assert [len(places) for places in found] == sizes
    assert sorted(np.concatenate([np.zeros(0, int), *found]).tolist()) == list(range(len(lengths)))


def likelihood(model, hyper, psi, data):
    return total_log_likelihood(class_likelihood(model, psi, hyper, data))


def test_stacks_by_length_have_every_patient_once_and_the_same_likelihood(level_model):
    def patient(key, labs):
        return PatientRecord(
            key, labs=tuple(Lab(f"m@{t}", "m_protein", float(t), 20.0, float(t)) for t in range(1, labs + 1))
        )

    cohort = Cohort((patient("A", 2), patient("B", 400), patient("C", 3), *(patient(f"S{n}", 2) for n in range(60))))
    natural = {"level_pop": 20.3, "effect_pop": 7.5, "no_effect_pop": 0.05, "p_none_pop": 0.28, "omega_level": 1.7}
    with jax.enable_x64(True):
        hyper, found = assemble(level_model, {k: jnp.asarray(v) for k, v in natural.items()}, 0.0), []
        psi = {record.key: 19.0 + 0.05 * n for n, record in enumerate(cohort)}
        one = partial(likelihood, level_model, hyper)
        each = jax.jit(jax.vmap(one))
        for by_length in (True, False):
            groups, order = stack_cohort(level_model, cohort, by_length=by_length)
            own = np.array([[psi[record.key], 8.0] for record in order])
            ends = np.cumsum([0, *(g.mask.shape[0] for g in groups)])

            values = np.concatenate([each(own[a:b], g) for a, b, g in zip(ends, ends[1:], groups)])
            found.append((dict(zip((r.key for r in order), values)), groups))
    assert len(found[0][1]) == 2 and len(found[1][1]) == 1 and set(found[0][0]) == set(cohort.keys)
    assert work(found[0][1]) < 0.5 * work(found[1][1])
    for key, value in found[1][0].items():
        assert found[0][0][key] == pytest.approx(float(value), rel=1e-12)
