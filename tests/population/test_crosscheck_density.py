"""The PyMC program and ours are one density: to rounding at random points, and in no program with one thing wrong."""

import jax
import numpy as np
import pytest
from every_part import closed_form, patients, write_every_part
from two_programs import (
    as_numpyro_sites,
    density_pairs,
    natural_sites,
    numpyro_density,
    plain,
    pymc_densities,
    random_points,
)

from bayestwin.dynamics import Accuracy
from bayestwin.errors import ModelError
from bayestwin.population.crosscheck import long_numbers, pymc_program, residuals
from bayestwin.population.crosscheck.correlation import pair_or_default
from bayestwin.population.crosscheck.prediction import solved, value_names
from bayestwin.population.crosscheck.sampling import whole_process_in_float64
from bayestwin.specification import HalfNormal, LogNormal, load_model

SAME = 1e-8
HOW = {"centred": True, "closed_form": closed_form}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_every_part(tmp_path_factory.mktemp("models") / "every_part"))


@pytest.fixture(scope="module")
def cohort():
    return patients()


@pytest.fixture(scope="module")
def program(model, cohort):
    return pymc_program(model, cohort, **HOW)


@pytest.fixture(scope="module")
def places(program):
    return random_points(program, 4, random_seed=1)


@pytest.fixture(scope="module")
def found(program, places):
    """(natural sites, PyMC's log density) at the random points."""
    return pymc_densities(program, places)


@pytest.fixture(scope="module")
def ours(model, cohort, found):
    """Our log density at the same points."""
    density = numpyro_density(model, cohort, centred=True)
    return np.array([density(as_numpyro_sites(model, natural)) for natural, _ in found])


def test_the_centred_program_with_a_closed_form_is_our_density(found, ours):
    assert [theirs for _, theirs in found] == pytest.approx(ours, abs=SAME)
    assert np.ptp(ours) > 10.0


def test_the_non_centred_program_with_our_solver_is_our_density(model, cohort):
    """One effect of six is centred: what is named, and no other."""
    pairs = density_pairs(model, cohort, points=3, random_seed=2, centred=("share",))
    assert [theirs for _, theirs in pairs] == pytest.approx([mine for mine, _ in pairs], abs=SAME)


def test_a_correlation_is_centred_as_a_whole_or_not_at_all(model, cohort):
    with pytest.raises(ModelError, match="all parameters of a correlation or none.*level.*level, offset, gain"):
        pymc_program(model, cohort, centred=("level", "share"), closed_form=closed_form)


def test_the_correlation_of_two_parameters_has_pymc_s_own_map():
    import pytensor.tensor as pt
    from pymc.distributions.transforms import CholeskyCorrTransform

    own, theirs, y = pair_or_default(2)["default_transform"], CholeskyCorrTransform(n=2), pt.dvector("y")
    both = [[one.backward(y), one.log_jac_det(y), one.forward(one.backward(y))] for one in (own, theirs)]
    function = plain_function([y], sum(both, []))
    for value in (-2.0, 0.3):
        found = function(np.array([value]))
        for ours, reference in zip(found[:3], found[3:]):
            assert np.asarray(ours) == pytest.approx(np.asarray(reference), abs=1e-12)
    assert pair_or_default(3) == {}


def test_the_correlation_of_two_parameters_is_sampled_on_jax():
    """PyMC's own map of two cannot be converted (`IndexError`), and no cross-check of such a model could begin."""
    import pymc as pm

    with pm.Model() as program:
        pm.LKJCorr("correlation", n=2, eta=2.0, **pair_or_default(2))
    with whole_process_in_float64():
        slope = program.compile_dlogp(mode="JAX")({program.value_vars[0].name: np.array([0.3])})
    assert np.asarray(slope) == pytest.approx(
        np.array([-5.0 * 0.3 / 1.09]), rel=1e-6
    )  # the density of y is (1 + y^2)^-(eta + 1/2)


def gap(ours, broken, places, **how):
    """How far a program is from differing by a constant."""
    theirs = np.array([value for _, value in pymc_densities(broken, places, **how)])
    return np.ptp(theirs - ours)


@pytest.mark.parametrize(
    "priors",
    [
        {"level_pop": LogNormal(median=20.0, sd_log=0.31), "correlation": 1.6},
        pytest.param({"omega_level": HalfNormal(sd=0.41)}, marks=pytest.mark.validate),
    ],
    ids=["of a typical value and of the correlation", "of an omega"],
)
def test_a_wrong_prior_is_seen(model, cohort, places, ours, priors):
    assert gap(ours, pymc_program(model, cohort, priors=priors, **HOW), places) > 1e-3


def sign_turned(rows, censoring):
    return right_of(rows, {"left": "right", "right": "left"}.get(censoring, censoring))


def variance(observation, sigma, expected):
    location, scale = right_error(observation, sigma, expected)
    return location, scale**2


def loading_everywhere(observation, sigma, expected, values, patients):
    return 0.0 * expected + 1.0


right_of, right_error = residuals.LabRows.of, residuals.error_of
WRONG = {
    "sign of censoring": (residuals.LabRows, "of", sign_turned),
    "sigma as a variance": (residuals, "error_of", variance),
    "size of a departure": (residuals, "loading_of", loading_everywhere),
}


@pytest.mark.parametrize(
    "place, name, other",
    [pytest.param(*w, marks=() if name == "sign of censoring" else pytest.mark.validate) for name, w in WRONG.items()],
    ids=WRONG,
)
def test_one_wrong_line_is_seen(model, cohort, places, ours, monkeypatch, place, name, other):
    monkeypatch.setattr(place, name, other)
    assert gap(ours, pymc_program(model, cohort, **HOW), places) > 1e-3


def log_volume(program, place, step=1e-5) -> float:
    """ln |d natural / d unbounded| of every site, by central differences; of a correlation, of the lower triangle."""
    evaluate, total = plain(natural_sites(program), program), 0.0
    for k, site in enumerate(program.free_RVs):
        name = program.rvs_to_values[site].name
        if name == site.name:
            continue  # not transformed

        def free(moved, k=k, name=name):
            value = evaluate(place | {name: moved})[k]
            return value[np.tril_indices(len(value), -1)] if value.ndim == 2 else np.atleast_1d(value)

        z = place[name]
        steps = step * np.eye(np.size(z)).reshape(-1, *np.shape(z))
        columns = [(free(z + e) - free(z - e)) / (2 * step) for e in steps]
        total += np.linalg.slogdet(np.stack(columns, axis=1))[1]
    return total


def test_the_sampler_moves_on_the_same_density_with_the_jacobian_of_its_transforms(program, places, found):
    ((_, moved),) = pymc_densities(program, places[:1], jacobian=True)
    volume = log_volume(program, places[0])
    assert moved - found[0][1] == pytest.approx(volume, abs=SAME)
    assert abs(volume) > 1.0  # a program without the Jacobian would be seen


def test_the_wrapped_solver_has_the_gradient_of_finite_differences(model, cohort):
    import pytensor

    rng = np.random.default_rng(5)
    values = rng.uniform(0.2, 0.5, (3, len(value_names(model))))
    with long_numbers():
        x = pytensor.tensor.dmatrix("x")
        expected = solved(model, cohort, Accuracy())(x)
        weights = rng.standard_normal((3, 25)) * (np.arange(25) < 24)
        function = plain_function([x], [(expected * weights).sum(), pytensor.grad((expected * weights).sum(), x)])
    _, gradient = function(values)
    direction, step = rng.standard_normal(values.shape), 1e-6
    ahead, behind = (function(values + s * direction)[0] for s in (step, -step))
    assert (gradient * direction).sum() == pytest.approx((ahead - behind) / (2 * step), rel=1e-6)
    assert not jax.config.jax_enable_x64


def plain_function(inputs, outputs):
    import pytensor
    from pytensor.compile.mode import Mode

    return pytensor.function(inputs, outputs, mode=Mode(linker="py", optimizer="merge"))
