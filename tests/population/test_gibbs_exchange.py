"""Patients who change their response class: two parameters exchange their roles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from scipy import stats

from bayestwin.population import gibbs_solved
from bayestwin.population.gibbs import PatientwiseHMC
from bayestwin.population.gibbs_exchange import Roles, exchanged, roles_of
from bayestwin.population.joint import Joint
from bayestwin.specification import load_model

WHERE, STEEP = 2.0, 200.0  # what the labs say resists, and how sharply
CHANCE = np.array([0.5, 0.1, 0.01])  # of the second class, by patient
MEANS, SDS = np.array([0.0, 1.5]), np.array([1.0, 0.4])


def two_classes() -> Joint:
    """Patients of whom a is told by the first class and b by the second, alike."""

    def one(psi, shared, chance):
        by_class = -STEEP * (psi - WHERE) ** 2 + jnp.log(jnp.asarray([1.0 - chance, chance]))
        return jax.scipy.special.logsumexp(by_class)

    def likelihood(psi, shared):
        both = jax.vmap(jax.value_and_grad(one, (0, 1)), (0, None, 0))
        value, slopes = both(psi, shared, jnp.asarray(CHANCE))
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
        roles=Roles(np.array([[0, 1]]), np.ones((n, 1))),
    )


def exact_share() -> np.ndarray:
    """Chance of the second class given the labs: normal integrals in closed form."""
    told = 1.0 / np.sqrt(2.0 * STEEP)
    seen = stats.norm.pdf(WHERE, MEANS, np.sqrt(SDS**2 + told**2))
    odds = CHANCE / (1.0 - CHANCE) * seen[1] / seen[0]
    return odds / (1.0 + odds)


def found_share(seed: int, chains: int = 4) -> np.ndarray:
    """(chains, patients): share of the second class; all begin in the first."""
    with jax.enable_x64(True):
        joint, warmup, draws = two_classes(), 100, 2000
        begun = np.broadcast_to((np.array([WHERE, 1.5]) - MEANS) / SDS, (chains, len(CHANCE), 2))
        kernel = PatientwiseHMC(joint)
        state = kernel.init(
            jax.random.split(jax.random.key(seed), chains), warmup, {"h": jnp.zeros((chains, 1)), "z": begun}, (), {}
        )

        @jax.jit
        def run(state):
            def step(state, _):
                state = kernel.sample(state, (), {})
                return state, state.z["z"]

            return jax.lax.scan(step, state, None, length=warmup + draws)[1]

        psi = MEANS + SDS * np.asarray(run(state))[warmup:]
    by_class = -STEEP * (psi - WHERE) ** 2 + np.log(np.stack([1.0 - CHANCE, CHANCE], axis=-1))
    return scipy.special.softmax(by_class, axis=-1)[..., 1].mean(axis=0)


def no_mixture_and(moved):
    """Without jumps to where chains have been; `moved` in place of the exchange."""
    return {"jumped": lambda mixture, key, psi: (psi, jnp.full(len(psi), -jnp.inf)), "exchanged": moved}


def test_each_class_has_its_weight_though_all_begin_in_one(monkeypatch):
    for name, value in no_mixture_and(exchanged).items():
        monkeypatch.setattr(gibbs_solved, name, value)
    share, exact = found_share(seed=1), exact_share()
    assert exact.min() < 0.1 and exact.max() > 0.8
    assert share.mean(axis=0) == pytest.approx(exact, abs=0.02)
    assert np.abs(share - exact).max() < 0.05


def test_without_the_exchange_or_with_a_wrong_ratio_they_have_not(monkeypatch):
    def still(roles, key, psi, means, scale):
        return psi, jnp.full(len(psi), -jnp.inf)

    def unweighted(*given):
        return exchanged(*given)[0], jnp.zeros(len(CHANCE))

    for wrong in (still, unweighted):
        for name, value in no_mixture_and(wrong).items():
            monkeypatch.setattr(gibbs_solved, name, value)
        assert np.abs(found_share(seed=1).mean(axis=0) - exact_share()).max() > 0.05


def test_the_way_back_leads_back_and_has_the_ratio_turned_round():
    rng = np.random.default_rng(1)
    psi, means, scale = rng.standard_normal((500, 3)), rng.standard_normal((500, 3)), np.diag([1.0, 0.3, 2.0])
    with jax.enable_x64(True):
        roles = Roles(np.array([[0, 2]]), np.ones((500, 1)))
        moved, ratio = exchanged(roles, jax.random.key(1), *map(jnp.asarray, (psi, means, scale)))
    moved, ratio = np.asarray(moved), np.asarray(ratio)
    assert (moved[:, 1] == psi[:, 1]).all()
    second = moved[:, 2] == psi[:, 0]
    assert ((moved[:, 0] == psi[:, 2]) | second).all() and 200 < second.sum() < 300
    old, new = np.where(second, 2, 0), np.where(second, 0, 2)  # places that are drawn on the way back, and there
    row = np.arange(500)
    log_q = [stats.norm.logpdf(x[row, at], means[row, at], scale[at, at]) for x, at in ((psi, old), (moved, new))]
    np.testing.assert_allclose(ratio, log_q[0] - log_q[1], rtol=1e-10)


def test_a_class_that_does_not_count_changes_nothing():
    with jax.enable_x64(True):
        roles = Roles(np.array([[0, 1], [1, 2]]), np.array([[0.0, 0.0], [0.0, 1.0]]))
        psi = jnp.asarray([[1.0, 2.0, 3.0]] * 2)
        for seed in range(20):
            moved, ratio = exchanged(roles, jax.random.key(seed), psi, jnp.zeros((2, 3)), jnp.eye(3))
            assert ratio[0] == -np.inf and np.isfinite(ratio[1])
            assert moved[1, 0] == 1.0 and (moved[1, 1] == 3.0 or moved[1, 2] == 2.0)


def test_roles_are_those_of_classes_whose_parameters_vary_alike():
    model = load_model("myeloma_car_t")
    relevant = np.zeros((2, len(model.response_classes)))
    relevant[1, 3] = 1.0
    roles = roles_of(model, relevant)
    names = model.individual_names
    for a, b in roles.pairs:
        cls = next(c for c in model.response_classes if c.parameter == names[a])
        assert names[b] == cls.replaced_by
    assert roles.counts.sum() <= 1.0 and not roles.counts[0].any()
