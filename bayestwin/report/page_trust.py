"""How far the numbers may be trusted: numerical check, track record, comparators, model facts."""

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class NumericalCheck:
    """How exact the last move of the twin was (UpdateInfo as plain values).

    population_approximate : how the population posterior was approximated; empty where it was sampled
    """

    verdict: str
    path: str = ""
    reasons: tuple[str, ...] = ()
    particles: int | None = None
    population_draws: int | None = None
    ess: float | None = None
    ess_population_draws: float | None = None
    pareto_k: float | None = None
    unique_particles: int | None = None
    acceptance: float | None = None
    island_agreement: float | None = None
    monte_carlo_error: tuple[tuple[str, float], ...] = ()
    full_rebuild: bool = False
    rhat: float | None = None
    divergence_share: float | None = None
    ess_bulk: float | None = None
    ess_tail: float | None = None
    solver_failures: float | None = None
    seconds: float | None = None
    population_approximate: str = ""


@dataclass(frozen=True)
class TrackRecord:
    """How often 80 % ranges held in the past. held, held_range: shares; n forecasts. Empty = "not tested"."""

    where: str = ""
    n: int | None = None
    held: float | None = None
    held_range: Range | None = None
    external: str = ""


@dataclass(frozen=True)
class NextLab:
    """The planned lab expected to narrow the 12-month range most (widths 0 to 1), and what it would say.

    outcomes : (outcome in words, chance then, (low, high) or None)
    """

    label: str
    when: str = ""
    width_now: float | None = None
    width_expected: float | None = None
    outcomes: tuple[tuple[str, float, Range | None], ...] = ()


@dataclass(frozen=True)
class Comparator:
    """A simple rival beside the twin (linear extrapolation, risk group) at 12 months."""

    name: str
    chance: float | None
    source: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ModelFacts:
    """What made the numbers. Texts are tuples of sentences; versions, seeds and hashes are (name, value) pairs."""

    name: str
    version: str
    model_hash: str = ""
    population_hash: str = ""
    data_hash: str = ""
    seeds: tuple[tuple[str, int], ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    purpose: str = ""
    made_for: tuple[str, ...] = ()
    not_for: tuple[str, ...] = ()
    trained_on: str = ""
    synthetic: bool = False
    validated_on: str = ""
    known_limits: tuple[str, ...] = ()
    prior_sources: tuple[str, ...] = ()
    owner: str = ""
    sites: tuple[str, ...] = ()
