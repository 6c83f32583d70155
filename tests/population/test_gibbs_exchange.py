"""Patients who change their response class: two parameters exchange their roles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from scipy import stats

from bayestwin.population import gibbs, gibbs_exchange
from bayestwin.population.gibbs import PatientwiseHMC
from bayestwin.population.gibbs_density import Density
from bayestwin.population.gibbs_exchange import exchanged
from bayestwin.population.gibbs_jump import jumped
from bayestwin.population.gibbs_roles import Roles
from bayestwin.population.joint import Joint

WHERE, STEEP = 2.0, 200.0  # what the labs say resists, and how sharply
CHANCE = np.array([0.5, 0.1, 0.01])  # of the second class, by patient
MEANS, SDS = np.array([0.0, 1.5]), np.array([1.0, 0.4])


def two_classes(steep: float = STEEP) -> Joint:
    """Patients of whom a is told by the first class and b by the second, alike."""
    log_chance = jnp.log(jnp.asarray(np.stack([1.0 - CHANCE, CHANCE], axis=-1)))

    def one(psi, shared, chance):
        return jax.scipy.special.logsumexp(-steep * (psi - WHERE) ** 2 + chance)

    def likelihood(psi, shared):
        value, slopes = jax.vmap(jax.value_and_grad(one, (0, 1)), (0, None, 0))(psi, shared, log_chance)
        return value, *slopes, psi

    none, n = np.zeros(1, dtype=bool), len(CHANCE)
    return Joint(
        log_prior=lambda h: -0.5 * (h**2).sum(),
        individual=lambda h: (jnp.broadcast_to(jnp.asarray(MEANS), (n, 2)), jnp.diag(jnp.asarray(SDS))),
        shared=lambda h: h,
        likelihood=likelihood,
        given_solved=lambda psi, shared, solved: likelihood(solved, shared)[0],
        acting=none,
        observing=none,
        prior_sd=np.ones(1),
        sites=lambda h: {"h": h},
        spreads=none,
        prior_median=np.zeros(1),
        roles=Roles(np.array([[0, 1]]), np.array([0]), np.ones((n, 1)), np.array([[[0], [1]]] * n)),
        by_class=lambda psi, shared, solved: -steep * (psi - WHERE) ** 2 + log_chance,
        log_class=lambda psi, shared, rows: jnp.take_along_axis(log_chance, rows, 1)[:, 0],
    )


def exact_share() -> np.ndarray:
    """Chance of the second class given the labs: normal integrals in closed form."""
    told = 1.0 / np.sqrt(2.0 * STEEP)
    seen = stats.norm.pdf(WHERE, MEANS, np.sqrt(SDS**2 + told**2))
    odds = CHANCE / (1.0 - CHANCE) * seen[1] / seen[0]
    return odds / (1.0 + odds)


def found_share(seed: int, chains: int = 4) -> np.ndarray:
    """(chains, patients): share of the second class; all begin in the first, and none jumps to where others were."""
    with jax.enable_x64(True):
        joint, warmup, draws = two_classes(), 100, 2000
        begun = np.broadcast_to((np.array([WHERE, 1.5]) - MEANS) / SDS, (chains, len(CHANCE), 2))
        kernel = PatientwiseHMC(joint)
        keys = jax.random.split(jax.random.key(seed), chains)
        state = kernel.init(keys, warmup, {"h": jnp.zeros((chains, 1)), "z": begun}, (), {})

        @jax.jit
        def run(state):
            def step(state, _):
                state = kernel.sample(state, (), {})
                return state, state.z["z"]

            return jax.lax.scan(step, state, None, length=warmup + draws)[1]

        psi = MEANS + SDS * np.asarray(run(state))[warmup:]
    by_class = -STEEP * (psi - WHERE) ** 2 + np.log(np.stack([1.0 - CHANCE, CHANCE], axis=-1))
    return scipy.special.softmax(by_class, axis=-1)[..., 1].mean(axis=0)


@pytest.fixture(autouse=True)
def no_jumps(monkeypatch):
    monkeypatch.setattr("bayestwin.population.gibbs_solved.jumped", lambda m, key, psi: (psi, -jnp.inf * psi[:, 0]))
    assert jumped is not gibbs.exchange_move


def test_each_class_has_its_weight_though_all_begin_in_one():
    share, exact = found_share(seed=1), exact_share()
    assert exact.min() < 0.1 and exact.max() > 0.8
    assert share.mean(axis=0) == pytest.approx(exact, abs=0.02)
    assert np.abs(share - exact).max() < 0.05


def test_with_a_wrong_ratio_they_have_not(monkeypatch):
    def unweighted(density, key, h, z, row, known):
        psi = MEANS + SDS * z
        fresh = MEANS + SDS * jax.random.normal(key, z.shape)
        other = row[:, :1] > 0
        turned = jnp.where(other, jnp.stack([psi[:, 1], fresh[:, 1]], 1), jnp.stack([fresh[:, 0], psi[:, 0]], 1))
        return (turned - MEANS) / SDS, 1 - row

    monkeypatch.setattr(gibbs_exchange, "exchanged", unweighted)
    assert np.abs(found_share(seed=1).mean(axis=0) - exact_share()).max() > 0.05


def test_without_the_exchange_chains_disagree(monkeypatch):
    monkeypatch.setattr(gibbs, "exchange_move", lambda density, steps, tuning, key, h, z, likelihood, phase: (h, z))
    share = found_share(seed=1)
    assert np.ptp(share, axis=0).max() > 0.3 and np.abs(share.mean(axis=0) - exact_share()).max() > 0.3


def test_draws_of_the_prior_and_classes_stay_so_distributed():
    """Of psi from the prior and classes from their chances, with labs that say nothing: law kept, many did exchange."""
    with jax.enable_x64(True):
        joint = two_classes(steep=0.0)
        density, n = Density(joint), len(CHANCE)
        keys = jax.random.split(jax.random.key(1), 20_000)

        def one(key):
            keys = jax.random.split(key, 3)
            z = jax.random.normal(keys[0], (n, 2))
            row = (jax.random.uniform(keys[1], (n, 1)) < jnp.asarray(CHANCE)[:, None]).astype(int)
            return z, row, *exchanged(density, keys[2], jnp.zeros(1), z, row, jnp.ones(n, dtype=bool))

        z, row, new_z, new_row = jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(keys))
    assert 0.02 < (new_row[:, 0] != row[:, 0]).mean() < 0.9
    for at in range(2):
        for k in (0, 1):  # within each class too
            before, after = (x[:, at, k][r[:, at, 0] == k] for x, r in ((z, row), (new_z, new_row)))
            assert stats.ks_2samp(before, after).pvalue > 1e-3
    assert new_row[:, :, 0].mean(axis=0) == pytest.approx(CHANCE, abs=0.012)


def test_who_does_not_count_or_is_not_known_stays():
    with jax.enable_x64(True):
        joint = two_classes()
        joint = joint._replace(roles=joint.roles._replace(counts=np.array([[1.0], [0.0], [1.0]])))
        density, row = Density(joint), jnp.zeros((3, 1), dtype=int)
        z = jnp.asarray([[1.5, 0.0]] * 3)  # a and b are alike: each class could be the other
        known = jnp.asarray([True, True, False])
        keys = jax.random.split(jax.random.key(3), 200)
        moved = np.asarray(jax.vmap(lambda key: exchanged(density, key, jnp.zeros(1), z, row, known)[1])(keys))[..., 0]
    assert moved[:, 0].any() and not moved[:, 1:].any()
