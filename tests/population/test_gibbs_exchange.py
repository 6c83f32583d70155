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
from bayestwin.population.gibbs_exchange import mixture_move, offered, redrawn
from bayestwin.population.gibbs_jump import jumped, no_mixture
from bayestwin.population.gibbs_roles import Roles
from bayestwin.population.gibbs_state import Phase, Tuning, restarted, step_sizes
from bayestwin.population.joint import Joint
from bayestwin.population.whitening import blind

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
    weighed = gibbs_exchange.weighed

    def unweighted(density, h, offer):
        weight, *normal = weighed(density, h, offer)
        return 0.0 * weight, *normal

    monkeypatch.setattr(gibbs_exchange, "weighed", unweighted)
    assert np.abs(found_share(seed=1).mean(axis=0) - exact_share()).max() > 0.05


def test_without_the_exchange_chains_disagree(monkeypatch):
    monkeypatch.setattr(gibbs, "exchange_move", lambda density, steps, tuning, key, h, z, likelihood, phase: (h, z))
    share = found_share(seed=1)
    assert np.ptp(share, axis=0).max() > 0.3 and np.abs(share.mean(axis=0) - exact_share()).max() > 0.3


def after_a_redraw(density, key, z, row, known):
    """z and classes after every patient who counts was offered the other class."""
    keys, h = jax.random.split(key), jnp.zeros(1)
    psi = MEANS + SDS * z
    psi, row = redrawn(density, keys[1], h, psi, row, offered(density.joint.roles, keys[0], psi, row, known))
    return (psi - MEANS) / SDS, row


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
            return z, row, *after_a_redraw(density, keys[2], z, row, jnp.ones(n, dtype=bool))

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
        moved = np.asarray(jax.vmap(lambda key: after_a_redraw(density, key, z, row, known)[1])(keys))[..., 0]
    assert moved[:, 0].any() and not moved[:, 1:].any()


LOWER = np.array([[1.0, 0.0, 0.0], [0.2, 0.4, 0.0], [0.3, -0.5, 0.6]])  # a, b, another that goes with both


def correlated_classes(patients: int) -> Joint:
    """h: mean of a, ln SD of what all effects share, logit of the chance of the second class; labs say nothing."""

    def log_class(psi, shared, rows):
        return jax.nn.log_sigmoid(jnp.where(rows[:, 0] > 0, shared[0], -shared[0]))

    chance, acting = np.arange(3) == 2, np.arange(3) == 2
    return Joint(
        log_prior=lambda h: -0.5 * (h**2).sum(),
        individual=lambda h: (jnp.zeros((patients, 3)).at[:, 0].set(h[0]), jnp.exp(0.4 * h[1]) * LOWER),
        shared=lambda h: h[2:],
        likelihood=lambda psi, shared: (psi[:, 0] * 0.0, psi * 0.0, psi[:, :1] * 0.0, psi),
        given_solved=lambda psi, shared, solved: psi[:, 0] * 0.0,
        acting=acting,
        observing=chance,
        prior_sd=np.ones(3),
        sites=lambda h: {"h": h},
        spreads=np.zeros(3, dtype=bool),
        prior_median=np.zeros(3),
        roles=Roles(np.array([[0, 1]]), np.array([0]), np.ones((patients, 1)), np.array([[[0], [1]]] * patients)),
        by_class=lambda psi, shared, solved: (
            jnp.stack([log_class(psi, shared, jnp.full((patients, 1), c)) for c in (0, 1)]).T
        ),
        log_class=log_class,
        chances=chance,
    )


def moved_populations(weighed=None, rounds: int = 3):
    """(h, z) before and after rounds of the move, of 20,000 populations of four patients drawn from the prior."""
    patients = 4
    tuning = Tuning(
        blind(patients, 3, 0),
        jnp.eye(2),
        0.7 * jnp.eye(2),
        jnp.eye(1),
        step_sizes(patients, 0.5),
        restarted(patients, 0.5),
        no_mixture(1, patients, 3),
    )
    phase = Phase(*(jnp.asarray(False),) * 3, jnp.asarray(0.1))

    def one(key):
        keys = jax.random.split(key, 4)
        h, z = jax.random.normal(keys[0], (3,)), jax.random.normal(keys[1], (patients, 3))
        means, scale = density.individual(h)
        row = (jax.random.uniform(keys[2], (patients, 1)) < jax.nn.sigmoid(h[2])).astype(int)

        def one_round(carry, key):
            h, psi, row = carry
            keys = jax.random.split(key, 3)
            offer = offered(density.joint.roles, keys[0], psi, row, jnp.ones(patients, dtype=bool))
            h = mixture_move(density, 4, tuning, keys[1], h, offer, phase)
            return (h, *redrawn(density, keys[2], h, psi, row, offer)), None

        (new, psi, _), _ = jax.lax.scan(one_round, (h, means + z @ scale.T, row), jax.random.split(keys[3], rounds))
        return h, z, new, density.z(new, psi)

    with jax.enable_x64(True):
        density = Density(correlated_classes(patients))
        return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(5), 20_000)))


def test_a_population_drawn_from_the_prior_keeps_its_law_while_classes_are_summed_out():
    h, z, new_h, new_z = moved_populations()
    assert np.abs(new_h - h).mean(axis=0).min() > 0.2
    for k in range(3):
        assert stats.kstest(new_h[:, k], "norm").pvalue > 1e-3
        assert stats.kstest(new_z[..., k].ravel(), "norm").pvalue > 1e-3
    together = np.corrcoef(np.column_stack([new_h, new_z.reshape(len(h), -1)]).T) - np.eye(15)
    assert np.abs(together).max() < 5 / np.sqrt(20_000)


def test_where_what_is_not_read_is_summed_out_wrongly_the_law_is_lost(monkeypatch):
    weighed = gibbs_exchange.weighed

    def without_the_determinant(density, h, offer):
        weight, mean, sd = weighed(density, h, offer)
        return weight + jnp.log(sd), mean, sd

    monkeypatch.setattr(gibbs_exchange, "weighed", without_the_determinant)
    _, _, new_h, _ = moved_populations()
    assert stats.kstest(new_h[:, 1], "norm").pvalue < 1e-6
