"""The target of one stage of a bridge in whitened coordinates of the parameters that labs feel, with its slopes."""

import time
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from move_cases import Stage
from move_kernels import Seen

from bayestwin.dynamics import NO_GRADIENT
from bayestwin.individual import class_likelihood
from bayestwin.twin.mover import Cloud, Guide, _class_shares
from bayestwin.twin.moves import fitted_gaussian
from bayestwin.twin.particles import log_prior_of
from bayestwin.twin.silence import effects, with_silent
from bayestwin.twin.target import full_likelihood, hyper_of, in_blocks, log_target, old_likelihood

FORWARD = 12  # parameters up to which slopes are taken forward, as in `bayestwin.twin.long_chain`


class Target(NamedTuple):
    """What is moved, and the Gaussian that whitens: mean (A,), factor and its inverse (A, A) of active parameters."""

    stage: Stage
    guide: Guide
    centre: Any
    factor: Any
    inverse: Any

    @property
    def size(self) -> int:
        """Number of active parameters, A."""
        return len(self.centre)


def settled(stage: Stage, sweeps: int) -> Target:
    """The stage after so many sweeps of the program, with proposals that change no more."""
    mover, weights = stage.mover, np.full(len(stage.cloud.psi), -np.log(len(stage.cloud.psi) / stage.mover.islands))
    cloud = mover.move(stage.cloud, weights, stage.t, sweeps)
    silence, normals = mover._silence, None
    if stage.every:
        mover.islands, islands = 1, mover.islands  # one approximation for all
        normals, mover._approximated = mover._normals(cloud)[0], []
        mover.islands = islands
    active = None if silence is None else silence.active
    mean, factor = fitted_gaussian(cloud.psi, weights, mover.islands, mover._prior_sd, active)
    places = np.arange(len(mean)) if silence is None else np.asarray(silence.places)
    own = factor[np.ix_(places, places)]
    guide = Guide(mean, factor, normals)
    return Target(stage._replace(cloud=cloud), guide, mean[places], own, np.linalg.inv(own))


@lru_cache(maxsize=16)
def looks(model, kind: str):
    """Compiled (x, draw, e, target arrays) -> Seen; kind: "plain" without slopes, "forward" or "reverse" with them."""
    accuracy = NO_GRADIENT._replace(gradient=kind == "reverse")

    def one(x, m, e, population, data, rho, t, silence, centre, factor):
        def height(x):
            psi, among = centre + factor @ x, population if silence is None else silence.among
            prior = log_prior_of(psi[None], m[None], among)[0]
            if silence is not None:
                psi = with_silent(psi[None], m[None], population, silence, e[None])[0]
            pieces = class_likelihood(model, psi, hyper_of(population, m), data, rho=rho, accuracy=accuracy)
            full, old = full_likelihood(pieces), old_likelihood(pieces)
            found = log_target(prior, pieces.log_class, old, full, t)
            return found, (found, pieces, psi)

        if kind == "plain":
            found, (_, pieces, psi) = height(x)
            return Seen(found, jnp.zeros_like(x), (pieces, psi))
        slope, (found, pieces, psi) = (jax.jacfwd if kind == "forward" else jax.grad)(height, has_aux=True)(x)
        return Seen(found, jnp.nan_to_num(slope, posinf=0.0, neginf=0.0), (pieces, psi))

    @jax.jit
    def all_of(x, draw, e, *about):
        return in_blocks(lambda each: one(*each, *about), ((x, draw, e),))

    return all_of


def look_of(target: Target, draw, e, kind: str):
    """`look` of the kernels while population draws and silent effects stay as they are."""
    mover, own = target.stage.mover, looks(target.stage.mover.model, kind)
    about = mover.population, mover.data, mover.rho, jnp.asarray(target.stage.t), mover._silence
    return lambda x: own(x, draw, e, *about, target.centre, target.factor)


def whitened(target: Target, cloud: Cloud):
    """x (P, A) and effects e (P, D), of which those of silent parameters are kept."""
    mover = target.stage.mover
    silent = mover._silence
    x = (mover._active(cloud.psi) - target.centre) @ target.inverse.T
    e = jnp.zeros_like(cloud.psi) if silent is None else effects(cloud.psi, cloud.draw, mover.population, silent)
    return x, e


def slopes_of(target: Target) -> tuple[str, float]:
    """The cheaper way to slopes, and its CPU seconds; forward is not asked of more than FORWARD parameters."""
    ways = ("forward", "reverse") if target.size <= FORWARD else ("reverse",)
    seconds = {way: plain_seconds(target, way) for way in ways}
    return min(seconds.items(), key=lambda found: found[1])


def numbers(target: Target, cloud: Cloud) -> np.ndarray:
    """Active parameters, log-likelihood, and chances of all response classes but one, of each particle (P, F)."""
    labs = log_target(0.0, cloud.pieces.log_class, cloud.old, full_likelihood(cloud.pieces), 1.0)
    psi = np.asarray(target.stage.mover._active(cloud.psi))
    return np.column_stack([psi, np.asarray(labs), _class_shares(cloud)[:, 1:]])


def names_of(target: Target) -> list[str]:
    """What `numbers` are."""
    model, silence = target.stage.mover.model, target.stage.mover._silence
    psi = list(model.individual_names)
    psi = psi if silence is None else [psi[k] for k in np.asarray(silence.places)]
    return [*psi, "log-likelihood", *(f"class {c}" for c in range(1, target.stage.cloud.old.shape[-1]))]


def plain_seconds(target: Target, kind: str = "plain", repeats: int = 5) -> float:
    """CPU seconds of one evaluation of all particles, the least of some."""
    cloud = target.stage.cloud
    x, e = whitened(target, cloud)
    look, found = look_of(target, cloud.draw, e, kind), []
    jax.block_until_ready(look(x))
    for _ in range(repeats):
        begin = time.process_time()
        jax.block_until_ready(look(x))
        found.append(time.process_time() - begin)
    return min(found)
