"""Labs between two limits in the likelihood of a record: with and without gradients, beside every other kind."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.individual import class_likelihood, compile_record
from bayestwin.individual.residuals import CENSORING, log_likelihood_of
from bayestwin.records import Lab, PatientRecord
from bayestwin.specification import Steps

OUTPUTS = ("lognormal", "additive_t")
KINDS = (("none", 1.2, None), ("left", 1.2, 1.2), ("interval", 0.8, 1.6), ("right", 0.9, 0.9), ("interval", 2.0, 9.0))


@pytest.fixture(scope="module")
def model(every_error):
    """Two of its outputs, on a grid that compiles quickly."""
    return replace(
        every_error,
        outputs={name: every_error.outputs[name] for name in OUTPUTS},
        observations=tuple(o for o in every_error.observations if o.output in OUTPUTS),
        steps=Steps(first=50.0, growth=1.0, largest=50.0),
        source_hash="",
    )


def test_a_record_of_every_kind_of_lab_has_one_likelihood_with_and_without_gradients(model, at_medians):
    labs = [Lab(f"{o}{n}", o, n, v, n, kind, end) for o in OUTPUTS for n, (kind, v, end) in enumerate(KINDS)]
    record, hyper = PatientRecord("P-1", labs=tuple(labs)), at_medians(model)
    data = compile_record(model, record, sizes=(12, 8))

    @jax.jit
    @jax.value_and_grad
    def total(psi):
        return class_likelihood(model, psi, hyper, data).rows.sum()

    rows = jax.jit(lambda psi: class_likelihood(model, psi, hyper, data, accuracy=NO_GRADIENT).rows[0])
    psi = jnp.asarray([0.1])
    expected = [
        float(log_likelihood_of(
            model, model.observation_index[lab.output], jnp.exp(0.1), lab.value, CENSORING[lab.censoring], hyper.sigma,
            upper=lab.upper, form={"none": "density", "interval": "between"}.get(lab.censoring, "limit"),
        )) for lab in record.labs
    ]  # fmt: skip
    found = np.asarray(rows(psi))
    np.testing.assert_allclose(found[:10], expected, rtol=1e-12)
    assert (found[10:] == 0.0).all()
    value, slope = total(psi)
    numeric = (rows(psi + 1e-6).sum() - rows(psi - 1e-6).sum()) / 2e-6
    assert float(value) == pytest.approx(sum(expected), rel=1e-12)
    assert float(slope[0]) == pytest.approx(float(numeric), rel=1e-6)
    assert np.isfinite(np.asarray(total(jnp.asarray([30.0]))[1])).all()
