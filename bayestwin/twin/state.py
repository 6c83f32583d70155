"""`Twin`: one patient's posterior as particles, with everything the next update needs.

`UpdateInfo`: how exact it is.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayestwin.twin.monte_carlo import island_error, jackknife_error, quantile_errors
from bayestwin.twin.particles import Particles, effective_size, normalised, systematic
from bayestwin.twin.surprise import Surprise, weighted_quantiles
from bayestwin.twin.target import class_weights, hyper_of

PASS, WITHHELD = "PASS", "WITHHELD"
CUT = "cut posterior: the labs of this patient do not weigh the population draws"
FROM_FIT = "joint fit"  # the path of a twin that starts from the fit of its patient


@dataclass(frozen=True)
class UpdateInfo:
    """Numerical check of one update.

    path : "start", "reweight", "rejuvenate", "oracle" (from scratch), "joint fit", "NUTS"
    ess, pareto_k (largest over the bridges, before resampling), unique_particles, acceptance
    ess_population_draws : effective number of population draws
    island_agreement : SD of island means over posterior SD, largest
    monte_carlo_error : parameter -> error of its posterior mean on the transformed scale
    surprise : each new lab before it was learnt; log_evidence : ln p(new labs | old ones), with its error; after
        a restart from scratch of the whole record
    draws_error : error of posterior means and class chances because population draws are few, in posterior SDs, largest
    few_draws : they are too few, and the population holds more; nothing_else : that alone made the check fail
    stood : nothing was learnt: the particles are those of the update before, as sound as they were then
    anchor_gap, anchor_shift : of an anchored update, see `anchor.Gap`: z and shift; else None
    verdict : "PASS" or "WITHHELD"; reasons : why, and every restart or fallback on the way
    """

    path: str
    verdict: str
    ess: float
    pareto_k: float
    unique_particles: int
    acceptance: float
    ess_population_draws: float
    island_agreement: float
    monte_carlo_error: dict
    surprise: tuple[Surprise, ...] = ()
    log_evidence: float = 0.0
    log_evidence_error: float = 0.0
    solver_failures: float = 0.0
    stages: int = 0
    moves: int = 0
    reasons: tuple[str, ...] = ()
    new_labs: int = 0
    anchor_gap: float | None = None
    anchor_shift: float | None = None
    draws_error: float = 0.0
    few_draws: bool = False
    nothing_else: bool = False
    stood: bool = False
    seconds: float = field(default=0.0, compare=False)

    def __str__(self):
        text = (
            f"{self.verdict} by {self.path}: ESS {self.ess:.0f}, k-hat {self.pareto_k:.2f}, "
            f"{self.unique_particles} unique particles, "
            f"acceptance {self.acceptance:.2f}, {self.new_labs} new labs, {self.seconds:.1f} s"
        )
        return text + ("; " + "; ".join(self.reasons) if self.reasons else "")


@dataclass(frozen=True, eq=False)
class Twin:
    """A patient's posterior at one moment.

    record : what it has seen; time : the newest lab or event learnt; applied : doses of that very time are in the state
    refusals : rows of the patient's files that were refused on the way
    particles : see Particles; population : the draws it rests on; rho : declared response correlation
    size : number of particles asked for, 0 for as many as there are; after a rung that took more of them the next
        update goes back to it
    from_fit : started from the joint fit, whose population draws have learnt labs of this patient already
    feedback : False for the cut posterior: the population draws keep equal weight whatever the labs say
    finer : so many times finer than the model's is the grid of steps on which the record is solved, see `grid`
    """

    model: Any
    record: Any
    particles: Particles
    population: Any
    time: float
    applied: bool
    islands: int
    rho: float
    population_hash: str
    random_seed: int
    updates: int = 0
    history: tuple[UpdateInfo, ...] = ()
    refusals: tuple = ()
    size: int = 0
    from_fit: bool = False
    feedback: bool = True
    finer: int = 1

    def with_refusals(self, refusals):
        """The same twin with further refused rows of its patient (or of a whole file) noted, each once."""
        own = [r for r in refusals if (r.key or r.patient) in ("", self.key)]
        return replace(self, refusals=tuple(dict.fromkeys((*self.refusals, *own))))

    @property
    def key(self) -> str:
        """The patient's study key."""
        return self.record.key

    @property
    def asked_size(self) -> int:
        """Number of particles that this twin is to have."""
        return self.size or self.particles.psi.shape[0]

    def at_asked_size(self, rng: np.random.Generator) -> "Twin":
        """The same twin with the number of particles asked for, resampled within islands if it has more."""
        if self.particles.psi.shape[0] <= self.asked_size:
            return self
        own = None if self.feedback else np.asarray(self.population.drawn(self.particles.draw))
        kept = systematic(rng, self.particles.log_weights, self.islands, particles=self.asked_size, draw=own)
        fewer = jax.tree.map(lambda a: jnp.asarray(np.asarray(a)[kept]), self.particles)
        even = jnp.asarray(normalised(np.zeros(self.asked_size), self.islands))
        return replace(self, particles=fewer._replace(log_weights=even))

    @property
    def info(self) -> UpdateInfo:
        """The numerical check of the last update."""
        return self.history[-1]

    @property
    def failed(self) -> bool:
        """True where the particles come of an update that failed its check, not where one left them as they stood."""
        made = next((info for info in reversed(self.history) if not info.stood), self.history[0])
        return made.verdict != PASS

    @property
    def weights(self) -> np.ndarray:
        """Weights over all particles, summing to one, (P,)."""
        return np.exp(np.asarray(self.particles.log_weights)) / self.islands

    @property
    def ess(self) -> float:
        """Effective sample size."""
        return effective_size(self.particles.log_weights, self.islands)

    def response_probability(self) -> dict[str, float]:
        """P(non-responder) of every treatment that was started."""
        p = np.asarray(class_weights(self.particles))
        rows = self.class_rows
        return {
            cls.treatment: float((self.weights[:, None] * p * (rows[:, k] > 0)).sum())
            for k, cls in enumerate(self.model.response_classes)
            if rows[:, k].any()
        }

    @property
    def class_rows(self) -> np.ndarray:
        """Response-class rows behind the second axis of the particles' pieces, (C, X)."""
        from bayestwin.individual import compile_record

        return compile_record(self.model, self.record).classes

    def parameter_table(self, probability: float = 0.9):
        """Mean, SD and interval of every individual parameter, natural scale (rows of dicts).

        With what a missing covariate that is an individual parameter adds to the others, until it is said.

        monte_carlo_error is that of the mean, sd_error, low_error, median_error, high_error are those of the others.
        """
        rows, w, exact = [], self.weights, (self.particles.log_weights, self.islands)
        tails = ((1 - probability) / 2, 0.5, (1 + probability) / 2)
        psi = np.asarray(self.particles.psi) + self._of_missing()
        for d, name in enumerate(self.model.individual_names):
            values = psi[:, d]
            if d < len(self.model.varying):
                scale = self.model.parameters[self.model.varying[d]].scale
                values = np.exp(values) if scale == "log" else 1 / (1 + np.exp(-values)) if scale == "logit" else values
            mean = float((w * values).sum())
            low, median, high = weighted_quantiles(values, w, tails)
            errors = quantile_errors(values, *exact, tails)
            rows.append(
                {
                    "parameter": name,
                    "mean": mean,
                    "sd": _sd(values, w),
                    "low": low,
                    "median": median,
                    "high": high,
                    "monte_carlo_error": island_error(values, *exact),
                    "sd_error": float(jackknife_error(lambda kept, values=values: _sd(values, kept), *exact)),
                    **{f"{name}_error": float(e) for name, e in zip(("low", "median", "high"), errors)},
                }
            )
        return rows

    def _of_missing(self) -> np.ndarray:
        """What missing covariates that are individual parameters add to the others, transformed scale, (P, D)."""
        from bayestwin.individual import compile_record
        from bayestwin.individual.missing import latent_shift

        model, pop = self.model, self.population
        found = np.zeros(self.particles.psi.shape)
        if model.latent_covariates:
            terms = compile_record(model, self.record).terms

            def one(psi, draw):
                return latent_shift(model, psi, hyper_of(pop, draw), terms)

            moved = jax.jit(jax.vmap(one))(self.particles.psi, self.particles.draw)
            found[:, : len(model.varying)] = np.asarray(moved)[:, np.array(model.varying, dtype=int)]
        return found

    def save(self, path):
        """Write the twin as one netCDF file."""
        from bayestwin.twin.save import save_twin

        return save_twin(self, path)

    def __repr__(self):
        return (
            f"<Twin {self.key} of {self.model.name}: "
            f"{len(self.record.labs)} labs up to {self.time:g} {self.model.time_unit}, "
            f"{self.particles.psi.shape[0]} particles, ESS {self.ess:.0f}, {self.info.verdict}"
            f"{'' if self.feedback else ', cut posterior'}>"
        )


def _sd(values, weights) -> float:
    """Posterior SD of values (P,) under weights that sum to one."""
    return float(np.sqrt((weights * (values - (weights * values).sum()) ** 2).sum()))
