"""Does a twin weigh its population draws rightly? Against importance sampling, where predictions rest on psi alone.

    python tests/validation/population_draws.py --population prior published --patients 17 19 [--write PAGE.md]

Where every solved parameter varies between patients, one solve of psi serves all population draws m, and with psi_j
from any density g

    p(m | labs)  proportional to  mean over j of p(psi_j | m) p(labs | psi_j, sigma_m) / g(psi_j)

needs no tempering and no moves. g is a mixture of Student-t around the particles of a 20,000-particle twin and,
narrower, around the forty of the highest likelihood. Populations: `prior` (400 draws of theophylline's own priors,
residual SDs from 0.01 to 3) and `published` (100 draws around the published values).
"""

import argparse
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "twin"))

from bayestwin.jobs.compilation_cache import use_compilation_cache  # noqa: E402

use_compilation_cache()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from level_model import as_population  # noqa: E402
from published_theophylline import published_draws  # noqa: E402
from scipy import stats  # noqa: E402

from bayestwin.dynamics import NO_GRADIENT  # noqa: E402
from bayestwin.evaluation.verification import simulated_with_truth  # noqa: E402
from bayestwin.individual import compile_record  # noqa: E402
from bayestwin.population import prior_population  # noqa: E402
from bayestwin.specification import load_model  # noqa: E402
from bayestwin.twin import rebuild_twin  # noqa: E402
from bayestwin.twin.target import evaluator  # noqa: E402

SEED, SAMPLES, SHARPEST, NARROW, NU = 1, 60_000, 40, (0.3, 0.1), 5
HEAD = (
    "| population | patient | true sigma | effective draws, exact | exact P(true draw) | "
    "from scratch, 20,000 particles | 4,000 | 1,000 | verdicts | sum of absolute differences, 4,000 |"
)


def exact_weights(twin, record) -> tuple[np.ndarray, float]:
    """p(m | labs) (M,), and the effective sample size behind the likeliest draw; for one output with a normal error."""
    psi, weights, pop = np.asarray(twin.particles.psi), twin.weights, twin.population
    mean, size = weights @ psi, psi.shape[1]
    factor = np.linalg.cholesky(np.cov(psi.T, aweights=weights))
    sharp = psi[np.argsort(-np.asarray(twin.particles.labs)[:, 0])[:SHARPEST]]
    rng, parts = np.random.default_rng(SEED), 1 + len(NARROW)
    scale = np.repeat([1.0, *NARROW], SAMPLES // parts)
    centre = np.where((scale == 1.0)[:, None], mean, sharp[rng.integers(SHARPEST, size=len(scale))])
    x = centre + scale[:, None] * (rng.standard_t(NU, (len(scale), size)) @ factor.T)
    inverse, log_det = np.linalg.inv(factor), np.log(np.diag(factor)).sum()

    def log_density(centre, width):
        white = (x - centre) @ inverse.T / width
        return stats.t.logpdf(white, NU).sum(axis=1) - size * np.log(width) - log_det

    log_g = log_density(mean, 1.0)
    for width in NARROW:
        log_g = np.logaddexp(log_g, np.logaddexp.reduce([log_density(c, width) for c in sharp]) - np.log(SHARPEST))
    log_g -= np.log(parts)
    squares = _squares(twin.model, record, x, pop)
    log_evidence, ess = np.empty(len(pop.log_det)), np.empty(len(pop.log_det))
    for m, (centre, whiten, own, sigma) in enumerate(
        zip(*(np.asarray(a) for a in (pop.mean, pop.whiten, pop.log_det, pop.sigma)))
    ):
        log_w = -0.5 * (((x - centre) @ whiten.T) ** 2).sum(axis=1) - own - log_g
        log_w += -len(record.labs) * np.log(sigma[0]) - 0.5 * squares / sigma[0] ** 2
        log_evidence[m] = np.logaddexp.reduce(log_w)
        w = np.exp(log_w - log_w.max())
        ess[m] = w.sum() ** 2 / (w**2).sum()
    share = np.exp(log_evidence - log_evidence.max())
    return share / share.sum(), float(ess[np.argmax(share)])


def _squares(model, record, x, pop):
    """Sum of squared residuals of every psi, (S,)."""
    with jax.enable_x64(True):
        data = jax.tree.map(jnp.asarray, compile_record(model, record))
        found = [
            np.asarray(evaluator(model, NO_GRADIENT)(jnp.asarray(a), jnp.zeros(len(a), int), pop, data, 0.0).prediction)
            for a in np.array_split(x, 6)
        ]
    predicted = np.concatenate(found)[:, 0, : len(record.labs)]
    return ((np.array([lab.value for lab in record.labs]) - predicted) ** 2).sum(axis=1)


def line(name, population, draws, number) -> str:
    """One patient as a row of the table."""
    record, truth = simulated_with_truth(population, number, random_seed=SEED, population_draws=draws)
    twins = {
        size: rebuild_twin(population, record, random_seed=3, particles=size, islands=8, population_draws=draws)[0]
        for size in (20_000, 4000, 1000)
    }
    exact, ess = exact_weights(twins[20_000], record)
    own = {
        size: np.bincount(np.asarray(t.particles.draw), weights=t.weights, minlength=len(exact))
        for size, t in twins.items()
    }
    sigma = float(np.asarray(twins[1000].population.sigma)[truth.draw, 0])
    cells = [
        name,
        record.key,
        f"{sigma:.3f}",
        f"{1 / (exact**2).sum():.1f} (ESS {ess:.0f})",
        f"{exact[truth.draw]:.3f}",
    ]
    cells += [f"{own[size][truth.draw]:.3f}" for size in twins]
    cells += [" ".join(t.info.verdict for t in twins.values()), f"{np.abs(own[4000] - exact).sum():.2f}"]
    return "| " + " | ".join(cells) + " |"


def main():
    """Print the table; write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--population", choices=("prior", "published"), nargs="+", default=["prior"])
    parser.add_argument("--patients", type=int, nargs="+", default=[17, 19, 1])
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    model = load_model("theophylline")
    rows = [HEAD, "|" + "---|" * 10]
    print(*rows, sep="\n", flush=True)
    for name in asked.population:
        draws = 400 if name == "prior" else 100
        population = (
            prior_population(model, draws=draws, random_seed=SEED)
            if name == "prior"
            else as_population(model, published_draws())
        )
        for number in asked.patients:
            rows.append(line(name, population, draws, number))
            print(rows[-1], flush=True)
    if asked.write:
        said = f"Made by `python tests/validation/population_draws.py --population {' '.join(asked.population)} "
        said += f"--patients {' '.join(map(str, asked.patients))}` on {date.today().isoformat()}; see its top."
        text = ["# Does a twin weigh its population draws rightly?", "", said, "", *rows]
        asked.write.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
