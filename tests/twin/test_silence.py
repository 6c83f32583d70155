"""Parameters that no lab or event feels: moves keep their prior and do not feel their number."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.individual.likelihood import ClassLikelihood
from bayestwin.twin.laplace import Normals
from bayestwin.twin.moves import fitted_gaussian, propose, propose_between
from bayestwin.twin.particles import Population, log_prior_of, multiplied
from bayestwin.twin.silence import effects, ever_started, felt, filled, log_active, silence_of, with_silent

M, D, P = 5, 6, 4000
SILENT = np.array([False, True, False, True, True, False])
MODEL = SimpleNamespace(
    response_classes=(SimpleNamespace(treatment="given"), SimpleNamespace(treatment="never")),
    parameters=tuple(SimpleNamespace(name=f"q{k}", treatment="never" if s else "given") for k, s in enumerate(SILENT)),
    individual_names=tuple(f"q{k}" for k in range(D)),
)


@pytest.fixture(autouse=True)
def sixty_four_bits():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def population():
    rng = np.random.default_rng(1)
    scale = np.linalg.cholesky(np.stack([(a := rng.normal(size=(D, D))) @ a.T + np.eye(D) for _ in range(M)]))
    mean, whiten = rng.normal(size=(M, D)), np.linalg.inv(scale)
    log_det = np.log(np.diagonal(scale, axis1=1, axis2=2)).sum(1)
    zero = jnp.zeros((M, 0))
    return Population(zero, zero, zero, *(jnp.asarray(x) for x in (mean, scale, whiten, log_det)))


def prior(population, rng):
    draw = rng.integers(M, size=P)
    psi = np.asarray(population.mean)[draw] + np.einsum(
        "pde,pe->pd", np.asarray(population.scale)[draw], rng.normal(size=(P, D))
    )
    return jnp.asarray(psi), jnp.asarray(draw)


def test_everything_active_is_no_case_of_its_own(population):
    assert silence_of(ever_started(MODEL, [1.0, 1.0]), population) is None
    np.testing.assert_array_equal(np.asarray(silence_of(ever_started(MODEL, [1.0, 0.0]), population).active), ~SILENT)


def test_coordinates_give_psi_back_and_split_its_density(population):
    silence = silence_of(ever_started(MODEL, [1.0, 0.0]), population)
    psi, draw = prior(population, np.random.default_rng(2))
    e = effects(psi, draw, population, silence)
    np.testing.assert_allclose(filled(e, draw, population, silence), psi, atol=1e-10)
    active = np.flatnonzero(~SILENT)
    for m in range(M):
        here = np.asarray(draw) == m
        cov = np.asarray(population.scale[m] @ population.scale[m].T)[np.ix_(active, active)]
        gap = np.asarray(psi)[here][:, active] - np.asarray(population.mean)[m, active]
        by_hand = -0.5 * (gap @ np.linalg.inv(cov) * gap).sum(1) - 0.5 * np.linalg.slogdet(cov)[1]
        np.testing.assert_allclose(np.asarray(log_active(e, draw, silence))[here], by_hand, rtol=1e-9)
    changed = e + jnp.where(silence.active, 0.0, 1.0)  # silent ones alone: the others of psi stay
    np.testing.assert_allclose(
        np.asarray(filled(changed, draw, population, silence))[:, active], np.asarray(psi)[:, active], atol=1e-10
    )


def walked(population, target, sweeps=60):
    """Particles after sweeps of psi and draw moves under ln p(psi | m) + target(psi), with and without silence."""
    found = []
    for relevant in ([1.0, 0.0], [1.0, 1.0]):
        silence = silence_of(ever_started(MODEL, relevant), population)
        psi, draw = prior(population, np.random.default_rng(3))
        accepted = []
        for k in range(sweeps):
            active = None if silence is None else silence.active
            mean, chol = fitted_gaussian(psi, np.full(P, -np.log(P)), 1, np.ones(D), active)
            kind, (a, b) = (0, 0, 1)[k % 3], jax.random.split(jax.random.key(k))
            new, m, ratio = propose(kind, a, psi, draw, population, mean, chol, 0.8, silence)
            take = jnp.log(jax.random.uniform(b, (P,))) < ratio + target(new) - target(psi)
            psi, draw = jnp.where(take[:, None], new, psi), jnp.where(take, m, draw)
            if kind == 0:
                accepted.append(float(take.mean()))
        found.append((np.asarray(psi), np.asarray(draw), np.mean(accepted)))
    return found


def test_moves_with_and_without_silence_have_the_same_target(population):
    """A likelihood of two active parameters; three silent ones correlate with them. Same moments, same draws; silence
    is accepted more often."""

    def target(psi):
        return -0.5 * ((psi[:, 0] - 1.0) / 0.4) ** 2 - 0.5 * ((psi[:, 5] + psi[:, 2]) / 0.5) ** 2

    (psi, draw, rate), (other, other_draw, other_rate) = walked(population, target)
    spread = other.std(axis=0)
    assert (np.abs(psi.mean(axis=0) - other.mean(axis=0)) / spread).max() < 0.12
    assert np.abs(np.log(psi.std(axis=0) / spread)).max() < 0.08
    shares = [np.bincount(d, minlength=M) / P for d in (draw, other_draw)]
    assert np.abs(shares[0] - shares[1]).max() < 0.035
    assert rate > 1.1 * other_rate


def test_silent_parameters_keep_their_prior_given_the_rest(population):
    (psi, draw, _), _ = walked(population, lambda psi: -0.5 * ((psi[:, 0] - 1.0) / 0.4) ** 2)
    silence = silence_of(ever_started(MODEL, [1.0, 0.0]), population)
    e = np.asarray(effects(jnp.asarray(psi), jnp.asarray(draw), population, silence))[:, SILENT]
    assert np.abs(e.mean(axis=0)).max() < 0.07
    assert np.abs(np.cov(e.T) - np.eye(SILENT.sum())).max() < 0.1
    assert len(np.unique(e[:, 0])) == P  # drawn anew, not carried along


def test_the_prior_of_all_is_that_of_the_others_times_that_of_the_silent(population):
    silence = silence_of(ever_started(MODEL, [1.0, 0.0]), population)
    psi, draw = prior(population, np.random.default_rng(4))
    e = effects(psi, draw, population, silence)
    silent = jnp.where(silence.active, 0.0, e)
    jacobian = np.asarray(population.log_det - silence.log_det)[np.asarray(draw)]
    whole = np.asarray(log_active(e, draw, silence)) - 0.5 * np.asarray((silent**2).sum(-1)) - jacobian
    np.testing.assert_allclose(np.asarray(log_prior_of(psi, draw, population)), whole, rtol=1e-8)


def said(rows, log_class=None):
    """Pieces of a likelihood of one lab, (P,), in one response class or in two with these chances (P, 2)."""
    count, nothing = len(rows), jnp.zeros((len(rows), 1))
    log_class = nothing if log_class is None else log_class
    rows = jnp.broadcast_to(rows[:, None, None], (count, log_class.shape[1], 1))
    nothing = jnp.zeros_like(log_class)
    return ClassLikelihood(rows, nothing, nothing, nothing, rows, None, nothing[..., None], nothing == 0.0, log_class)


def test_what_a_lab_or_the_chance_of_a_class_depends_on_is_heard_and_no_more(population):
    """The third parameter acts beyond a threshold that few particles pass, the fifth on the chance of a class alone."""

    def evaluate(psi, draw, population, data, rho):
        lab = -(psi[:, 0] ** 2) + jnp.maximum(psi[:, 2] - 4.0, 0.0)
        share = jax.nn.sigmoid(psi[:, 4])
        return said(lab, jnp.stack([jnp.log(share), jnp.log1p(-share)], axis=1) if rho else None)

    psi, draw = prior(population, np.random.default_rng(5))
    for rho, expected in ((0.0, [0, 2]), (0.5, [0, 2, 4])):
        pieces = evaluate(psi, draw, population, None, rho)
        heard = felt(evaluate, psi, draw, pieces, population, None, rho)
        np.testing.assert_array_equal(np.flatnonzero(heard), expected)
    few = felt(evaluate, psi[:4], draw[:4], evaluate(psi[:4], draw[:4], population, None, 0.0), population, None, 0.0)
    assert few.all()  # fewer particles than parameters can try nothing out


def test_where_nothing_is_heard_every_move_draws_from_the_prior(population):
    silence = silence_of(np.zeros(D, dtype=bool), population)
    psi, draw = prior(population, np.random.default_rng(6))
    mean, chol = fitted_gaussian(psi, np.full(P, -np.log(P)), 1, np.ones(D), silence.active)
    new, m, ratio = propose(0, jax.random.key(1), psi, draw, population, mean, chol, 0.8, silence)
    np.testing.assert_allclose(np.asarray(ratio), 0.0, atol=1e-9)
    e = np.asarray(effects(new, m, population, silence))
    assert np.abs(np.corrcoef(np.asarray(effects(psi, draw, population, silence)).T, e.T)[:D, D:]).max() < 0.06
    assert np.abs(np.cov(e.T) - np.eye(D)).max() < 0.08


def test_parameters_that_stand_alone_need_no_matrix(population):
    """Two correlated parameters among six: as the dense product, and the density as before."""
    scale = np.stack([np.diag(row) for row in np.random.default_rng(7).uniform(0.5, 2.0, (M, D))])
    scale[:, 4, 1] = [0.3, -0.2, 0.5, 0.1, 0.4]
    whiten, log_det = np.linalg.inv(scale), np.log(np.diagonal(scale, axis1=1, axis2=2)).sum(1)
    dense = population._replace(scale=jnp.asarray(scale), whiten=jnp.asarray(whiten), log_det=jnp.asarray(log_det))
    sparse = dense._replace(joined=jnp.array([1, 4]))
    psi, draw = prior(dense, np.random.default_rng(8))
    np.testing.assert_allclose(log_prior_of(psi, draw, sparse), log_prior_of(psi, draw, dense), rtol=1e-12)
    for factors in (dense.scale, dense.whiten):
        expected = multiplied(factors, draw, psi)
        np.testing.assert_allclose(multiplied(factors, draw, psi, sparse.joined), expected, atol=1e-12)
    for one in (dense, sparse):
        silence = silence_of(~SILENT, one)
        kept = with_silent(psi[:, silence.places], draw, one, silence)
        np.testing.assert_allclose(kept[:, silence.places], psi[:, silence.places], atol=1e-12)
        e = np.asarray(effects(kept, draw, one, silence))
        np.testing.assert_allclose(e[:, SILENT], 0.0, atol=1e-12)
    assert len(silence.among.joined) == 0  # its partner is silent


def test_moves_between_draws_keep_the_prior_of_heard_and_silent_parameters(population):
    """Proposals of the heard parameters twice as wide as their prior, shares of the draws all wrong."""
    silence, rng = silence_of(~SILENT, population), np.random.default_rng(9)
    psi, draw = prior(population, rng)
    among = silence.among
    normals = Normals(
        among.mean + 0.3,
        2.0 * among.scale,
        0.5 * among.whiten,
        among.log_det + 3 * np.log(2.0),
        jnp.log(jnp.arange(1.0, M + 1) / 15.0),
    )
    pieces = said(jnp.zeros(P))
    for k in range(40):
        a, b = jax.random.split(jax.random.key(k))
        new, m, ratio, _ = propose_between(a, psi, draw, pieces, population, normals, silence)
        take = jnp.log(jax.random.uniform(b, (P,))) < ratio
        psi, draw = jnp.where(take[:, None], new, psi), jnp.where(take, m, draw)
    assert np.abs(np.bincount(draw, minlength=M) / P - 1.0 / M).max() < 0.03
    e = np.asarray(effects(psi, draw, population, silence))
    assert np.abs(e.mean(axis=0)).max() < 0.07
    assert np.abs(np.cov(e.T) - np.eye(D)).max() < 0.09
