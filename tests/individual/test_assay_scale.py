"""Laboratories whose residual SD or level is that of the others times a factor: likelihood, priors and hash."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bayestwin.dynamics import NO_GRADIENT, Accuracy
from bayestwin.errors import ModelError
from bayestwin.individual import class_likelihood, compile_record
from bayestwin.individual.residuals import draw_observation
from bayestwin.records import Lab, PatientRecord
from bayestwin.specification import (
    Additive,
    Fixed,
    LogNormal,
    LogNormalError,
    Observation,
    Proportional,
    SerialCorrelation,
    Steps,
)
from bayestwin.specification.other_priors import site_names, with_priors

FACTORS = {"south": 3.0, "other": 0.5}
SCALE = {level: Fixed(value=factor) for level, factor in FACTORS.items()}
LABS = (("", 1.0), ("south", 3.0), ("north", 0.5), ("other", 0.5))
BIAS = {"north": Fixed(value=1.25), "south": Fixed(value=0.8)}  # "north" has the scale of "other", "other" no bias
READS = {"north": 1.25, "south": 0.8}
SERIAL = SerialCorrelation(sd=Fixed(value=0.4), time=Fixed(value=2.0))


def with_errors(every_error, **observations):
    return replace(
        every_error,
        outputs={name: every_error.outputs["additive"] for name in observations},
        observations=tuple(Observation(name, unit="", plausible=(0, 1e9), **o) for name, o in observations.items()),
        steps=Steps(first=50.0, growth=1.0, largest=50.0),
        source_hash="",
    )


@pytest.fixture(scope="module")
def model(every_error):
    """One output told apart by laboratory, one by product, one not, one with a departure that lasts."""
    return with_errors(
        every_error,
        plain={"error": Additive(sd=Fixed(value=0.7))},
        heavy={"error": LogNormalError(sd=Fixed(value=0.3), nu=4.0), "assay_scale": SCALE},
        counts={"error": Additive(sd=Fixed(value=0.7)), "assay_scale": SCALE, "assay_by": "product"},
        wanders={"error": Additive(sd=Fixed(value=0.7), serial=SERIAL), "assay_scale": SCALE},
        biased={"error": LogNormalError(sd=Fixed(value=0.3)), "assay_scale": SCALE, "assay_bias": BIAS},
        drifts={"error": Additive(sd=Fixed(value=0.7), serial=SERIAL), "assay_bias": BIAS},
        shares={"error": Proportional(cv=Fixed(value=0.2)), "assay_bias": BIAS},
    )


def test_every_lab_has_the_scale_of_its_laboratory_or_product(model, at_medians):
    labs = [
        Lab(f"{o}{n}", o, float(n), 1.3, float(n), laboratory="south" if o == "counts" else name, product=name)
        for o in ("plain", "heavy", "counts", "wanders", "biased", "drifts", "shares")
        for n, (name, _) in enumerate(LABS)
    ]
    record, hyper = PatientRecord("P-1", labs=tuple(labs)), at_medians(model)
    data = compile_record(model, record, sizes=(32, 8))

    @jax.jit
    def rows(psi):
        return class_likelihood(model, psi, hyper, data, accuracy=NO_GRADIENT).rows[0, :28]

    @jax.jit
    def with_slope(psi):
        # rows of the other outputs have numbers of assays that an output does not have
        def total(psi):
            own = class_likelihood(model, psi, hyper, data, accuracy=Accuracy()).rows[0, :28]
            return own.sum(), own

        return jax.grad(total, has_aux=True)(psi)

    f, t = np.exp(0.1), np.arange(4.0)
    covariance = 0.4**2 * np.exp(-np.abs(t[:, None] - t) / 2.0) + np.diag([(0.7 * factor) ** 2 for _, factor in LABS])
    slope, differentiated = with_slope(jnp.asarray([0.1]))
    assert np.isfinite(np.asarray(slope)).all()
    for found in (differentiated, rows(jnp.asarray([0.1]))):
        by_lab = {lab.lab_id: float(row) for lab, row in zip(record.labs, found)}
        for n, (name, factor) in enumerate(LABS):
            assert by_lab[f"plain{n}"] == pytest.approx(stats.norm(f, 0.7).logpdf(1.3), abs=1e-10)
            reads = READS.get(name, 1.0)
            law = stats.t(4, 0.1, 0.3 * factor)
            assert by_lab[f"heavy{n}"] == pytest.approx(law.logpdf(np.log(1.3)) - np.log(1.3), abs=1e-10)
            assert by_lab[f"counts{n}"] == pytest.approx(stats.norm(f, 0.7 * factor).logpdf(1.3), abs=1e-10)
            own = stats.norm(0.1 + np.log(reads), 0.3 * factor).logpdf(np.log(1.3)) - np.log(1.3)
            assert by_lab[f"biased{n}"] == pytest.approx(own, abs=1e-10)
            assert by_lab[f"shares{n}"] == pytest.approx(stats.norm(f * reads, 0.2 * f * reads).logpdf(1.3), abs=1e-10)
        level = f * np.array([READS.get(name, 1.0) for name, _ in LABS])
        unscaled = 0.4**2 * np.exp(-np.abs(t[:, None] - t) / 2.0) + 0.7**2 * np.eye(4)
        drifting = stats.multivariate_normal(level, unscaled).logpdf(np.full(4, 1.3))
        assert sum(by_lab[f"drifts{n}"] for n in range(4)) == pytest.approx(drifting, abs=1e-9)
        together = stats.multivariate_normal(np.full(4, f), covariance).logpdf(np.full(4, 1.3))
        assert sum(by_lab[f"wanders{n}"] for n in range(4)) == pytest.approx(together, abs=1e-9)


def test_simulated_labs_scatter_as_their_laboratory_s(model, at_medians):
    k, sigma = model.observation_index["heavy"], np.asarray(at_medians(model).sigma)
    drawn = draw_observation(model, k, np.random.default_rng(1), np.full(20_000, 4.0), sigma, assay=1)
    assert stats.kstest(np.log(drawn), stats.t(4, np.log(4.0), 0.9).cdf).pvalue > 0.001
    k, biased = model.observation_index["biased"], model.observations[model.observation_index["biased"]]
    assert biased.assay_levels == ("south", "other", "north")
    drawn = draw_observation(model, k, np.random.default_rng(1), np.full(20_000, 4.0), sigma, assay=3)
    assert stats.kstest(np.log(drawn), stats.norm(np.log(4.0 * 1.25), 0.15).cdf).pvalue > 0.001


def test_factors_are_population_parameters_with_priors_that_a_file_may_exchange(model, every_error):
    names = ["assay_scale_south_heavy", "assay_scale_other_heavy"]
    assert [name for name in site_names(model) if name.endswith("heavy") and "assay" in name] == names
    other = with_priors(model, {names[0]: LogNormal(median=1.0, sd_log=0.3)})
    assert other.residual_parameters[names[0]] == LogNormal(median=1.0, sd_log=0.3)
    assert other.residual_parameters[names[1]] == Fixed(value=0.5) and names[0] in str(model)
    plain = with_errors(every_error, y={"error": Additive(sd=Fixed(value=0.7))})
    scaled = with_errors(every_error, y={"error": Additive(sd=Fixed(value=0.7)), "assay_scale": SCALE})
    assert plain.hash != scaled.hash and not plain.tells_assays_apart
    biased = with_errors(every_error, y={"error": Additive(sd=Fixed(value=0.7)), "assay_bias": BIAS})
    assert biased.hash not in (plain.hash, scaled.hash) and biased.tells_assays_apart
    moved = with_priors(biased, {"assay_bias_north_y": LogNormal(median=1.1, sd_log=0.1)})
    assert moved.observations[0].assay_bias["north"] == LogNormal(median=1.1, sd_log=0.1)
    assert compile_record(plain, PatientRecord("P-1")).assay is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"assay_scale": {"south": Fixed(value=-1.0)}}, "assay_scale 'south'"),
        ({"assay_scale": {"": Fixed(value=1.0)}}, "a name"),
        ({"assay_scale": {"south": 2.0}}, "all above 0"),
        ({"assay_bias": {"north": Fixed(value=0.0)}}, "assay_bias 'north'"),
        ({"assay_scale": SCALE, "assay_by": "city"}, "laboratory or product"),
    ],
)
def test_an_assay_scale_that_is_none_is_refused_when_the_model_is_made(wrong, says):
    with pytest.raises(ModelError) as refused:
        Observation("y", unit="", error=Additive(sd=Fixed(value=1.0)), plausible=(0, 1), **wrong)
    assert "observation y" in str(refused.value) and says in str(refused.value)
