"""Diagnostics pass on good draws and say why on bad ones."""

import warnings

import numpy as np
import pytest
import xarray as xr

from bayestwin.population.diagnostics import Diagnostics, diagnose, moving

SHAPE = (4, 500)


def made(seed=1, **changes):
    """Independent draws of two parameters and a Cholesky factor, with energies; `changes` replace variables."""
    rng = np.random.default_rng(seed)
    a, b, r = (rng.standard_normal(SHAPE) for _ in range(3))
    r = 0.5 * np.tanh(r)
    zero, one = np.zeros(SHAPE), np.ones(SHAPE)
    lower = np.stack([np.stack([one, zero], -1), np.stack([r, np.sqrt(1 - r**2)], -1)], -2)
    dims = ("chain", "draw")
    data = {
        "CL_pop": (dims, a),
        "omega_CL": (dims, np.exp(b)),
        "correlation_cholesky": ((*dims, "parameter_a", "parameter_b"), lower),
    }
    stats = {"diverging": (dims, np.zeros(SHAPE, bool)), "energy": (dims, rng.standard_normal(SHAPE))}
    for name, values in changes.items():
        (stats if name in stats else data)[name] = (dims, values)
    coords = {"parameter_a": ["CL", "V"], "parameter_b": ["CL", "V"]}
    return xr.Dataset(data, coords=coords), xr.Dataset(stats)


def test_independent_draws_pass():
    verdict = diagnose(*made())
    assert verdict.passed and verdict.reasons == () and verdict.rhat < 1.01
    assert str(verdict).startswith("diagnostics passed (R-hat 1.00")


def test_constant_entries_give_neither_warnings_nor_rows():
    posterior, stats = made()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        diagnose(posterior, stats)
    assert list(moving(posterior).data_vars) == [
        "CL_pop",
        "omega_CL",
        "correlation_cholesky[V, CL]",
        "correlation_cholesky[V, V]",
    ]


def test_the_summary_has_a_row_for_what_moves(made_population):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = made_population.summary()
    assert set(table.index) == set(made_population.posterior.data_vars)
    assert np.isfinite(table.to_numpy(dtype=float)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_draws_that_are_no_numbers_fail_and_are_named(value):
    broken = np.random.default_rng(2).standard_normal(SHAPE)
    broken[2, 10:12] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert diagnose(*made(CL_pop=broken)).reasons == ("2 draws of CL_pop are not finite",)
    posterior, stats = made()
    posterior["correlation_cholesky"][1, 3, 1, 1] = value
    assert diagnose(posterior, stats).reasons == ("1 draws of correlation_cholesky[V, V] are not finite",)


def test_what_never_moves_fails_unless_it_is_a_constant_of_the_model():
    posterior, stats = made(V_pop=np.full(SHAPE, 0.7))
    assert diagnose(posterior, stats).reasons == ("V_pop never moved",)
    assert diagnose(posterior, stats, fixed=["V_pop"]).passed
    posterior, stats = made()
    posterior["correlation_cholesky"][..., 1, 0] = 0.0
    posterior["correlation_cholesky"][..., 1, 1] = 1.0
    reasons = ("correlation_cholesky[V, CL] never moved", "correlation_cholesky[V, V] never moved")
    assert diagnose(posterior, stats).reasons == reasons


def test_a_parameter_of_tiny_size_is_judged_like_any_other():
    slow = 1e-13 * np.repeat(np.random.default_rng(6).standard_normal((4, 5)), 100, axis=1)
    assert any("bulk ESS" in r and "of CL_pop" in r for r in diagnose(*made(CL_pop=slow)).reasons)


def test_nothing_that_can_be_judged_fails():
    posterior, stats = made()
    verdict = diagnose(posterior[["CL_pop"]] * np.nan, stats)
    assert not verdict.passed and verdict.reasons[0] == "2000 draws of CL_pop are not finite"


def test_a_chain_that_stands_elsewhere_fails_by_r_hat():
    shifted = np.random.default_rng(2).standard_normal(SHAPE)
    shifted[0] += 1.0
    verdict = diagnose(*made(CL_pop=shifted))
    assert not verdict.passed and "of CL_pop is not under 1.01" in verdict.reasons[0]


def test_a_slow_chain_fails_by_effective_size():
    steps = np.random.default_rng(3).standard_normal(SHAPE)
    slow = np.zeros(SHAPE)
    for t in range(1, SHAPE[1]):
        slow[:, t] = 0.9 * slow[:, t - 1] + steps[:, t]
    assert any("bulk ESS" in r and "of CL_pop is not above 400" in r for r in diagnose(*made(CL_pop=slow)).reasons)


def test_many_divergences_fail_by_their_share():
    diverging = np.zeros(SHAPE, bool)
    diverging[:, ::100] = True
    assert "20 divergences in 2000 draws (1.00%), not under 0.1 %" in diagnose(*made(diverging=diverging)).reasons


def test_few_divergences_fail_where_they_pile_up():
    shape, rng = (4, 2000), np.random.default_rng(4)
    values, dims = rng.standard_normal(shape), ("chain", "draw")
    clustered = np.zeros(shape, bool)
    clustered[np.unravel_index(np.argsort(values.ravel())[:6], shape)] = True
    scattered = np.zeros(shape, bool)
    scattered.ravel()[rng.choice(values.size, 6, replace=False)] = True
    posterior = xr.Dataset({"omega_CL": (dims, values)})
    for diverging, reasons in ((clustered, ("6 divergences, clustered in omega_CL",)), (scattered, ())):
        stats = xr.Dataset({"diverging": (dims, diverging), "energy": (dims, rng.standard_normal(shape))})
        assert diagnose(posterior, stats).reasons == reasons


def test_few_divergences_fail_where_they_pile_up_in_an_entry_of_an_array():
    """Factors of laboratories and slopes of a horseshoe are arrays, in which nobody had looked."""
    shape, rng = (4, 2000), np.random.default_rng(4)
    values, dims = rng.standard_normal((*shape, 3)), ("chain", "draw", "assay_bias_psa_site")
    low = np.zeros(shape, bool)
    low[np.unravel_index(np.argsort(values[..., 1].ravel())[:6], shape)] = True
    coords = {"assay_bias_psa_site": ["A", "B", "C"]}
    posterior = xr.Dataset({"assay_bias_psa": (dims, values)}, coords=coords)
    stats = xr.Dataset({"diverging": (dims[:2], low), "energy": (dims[:2], rng.standard_normal(shape))})
    assert diagnose(posterior, stats).reasons == ("6 divergences, clustered in assay_bias_psa[B]",)


def test_energy_that_creeps_fails_by_e_bfmi():
    creeping = np.cumsum(np.random.default_rng(5).standard_normal(SHAPE), axis=1)
    assert any(r.startswith("E-BFMI") for r in diagnose(*made(energy=creeping)).reasons)


def test_one_chain_cannot_be_judged():
    posterior, stats = (d.isel(chain=[0]) for d in made())
    verdict = diagnose(posterior, stats)
    assert not verdict.passed and "one chain only: R-hat cannot be judged" in verdict.reasons
    assert pytest.approx(500) == verdict.draws


@pytest.mark.parametrize(
    "amiss, divergences, too_short, too_bold",
    [
        ({}, 0, False, False),
        ({"rhat": 1.012}, 0, True, False),
        ({"ess_bulk": 300.0}, 0, True, False),
        ({"ess_tail": 300.0}, 1, True, False),
        ({"ess_bulk": 300.0}, 2, True, True),
        ({"ess_bulk": 300.0}, 90, False, True),
        ({"ess_bulk": 300.0, "clustered": "k"}, 5, False, True),
        ({"ess_bulk": 300.0, "ebfmi": 0.2}, 0, False, False),
        ({"clustered": "k"}, 1, False, True),
        ({"rhat": np.nan, "ess_bulk": 300.0}, 0, False, False),  # one chain: longer ones would not help
    ],
)
def test_what_a_fit_lacks_decides_what_is_tried_next(amiss, divergences, too_short, too_bold):
    sound = {"rhat": 1.0, "ess_bulk": 900.0, "ess_tail": 900.0, "draws": 2000, "ebfmi": 0.9}
    found = Diagnostics(passed=False, reasons=(), divergences=divergences, **(sound | amiss))
    assert (found.too_short, found.too_bold) == (too_short, too_bold)
