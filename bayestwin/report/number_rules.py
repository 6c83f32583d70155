"""Whether the numbers themselves can be trusted: Pareto k, effective draws, Monte Carlo error (W-NUM of the table)."""

import math

from bayestwin.report.model import ReportInput
from bayestwin.report.rounding import step_for
from bayestwin.report.warning_table import (
    CAUTION,
    FEW_DRAWS,
    K_LIMIT,
    MAIN_MONTH,
    NOTE,
    RHAT_LIMIT,
    RHAT_WITHHELD,
    TAIL_ESS,
    WITHHELD,
    warn,
)


def pareto_limit(draws: int | None) -> float:
    """The k-hat limit for this sample size (Vehtari et al., PSIS)."""
    return K_LIMIT if not draws or draws < 11 else min(1 - 1 / math.log10(draws), K_LIMIT)


def _pareto(inputs: ReportInput):
    numbers = inputs.numbers
    limit = pareto_limit(numbers.particles)
    if numbers.pareto_k is not None and numbers.pareto_k > limit:
        rebuilt = numbers.full_rebuild or numbers.path == "oracle"
        text = f"Pareto k {numbers.pareto_k:.2f} above {limit:.2f}"
        yield warn(
            "W-NUM-K",
            NOTE if rebuilt else WITHHELD,
            text + (", rebuilt from scratch" if rebuilt else ", not rebuilt"),
            khat=numbers.pareto_k,
            limit=limit,
        )


def _draws(inputs: ReportInput):
    ess = inputs.numbers.ess
    if ess is not None and ess < 1600:
        yield warn(
            "W-NUM-ESS",
            WITHHELD if ess < 400 else NOTE,
            f"{ess:.0f} effective draws"
            + (", at least 400 needed" if ess < 400 else ": chances in steps of 10 points"),
            ess=ess,
        )


def _monte_carlo(inputs: ReportInput):
    numbers = inputs.numbers
    if numbers.verdict != "PASS":
        why = "; ".join(numbers.reasons) or "no reason given"
        yield warn("W-NUM-MC", WITHHELD, f"the numerical check did not pass ({why})")
    grave = [(numbers.rhat, RHAT_WITHHELD, "R-hat {:.3f}"), (numbers.divergence_share, 0.01, "divergent share {:.4f}")]
    mild = [
        (numbers.rhat, RHAT_LIMIT, "R-hat {:.3f}"),
        (numbers.divergence_share, 0.0, "divergent share {:.4f}"),
    ]
    for severity, checks in ((WITHHELD, grave), (CAUTION, mild)):
        over = [words.format(value) for value, limit, words in checks if value is not None and value > limit]
        low = [
            f"{name} draws {value:.0f}"
            for name, value in (("bulk", numbers.ess_bulk), ("tail", numbers.ess_tail))
            if severity == CAUTION and value is not None and value < TAIL_ESS
        ]
        if over or low:
            yield warn("W-NUM-MC", severity, "population fit: " + ", ".join(over + low))
            break
    if numbers.solver_failures is not None and numbers.solver_failures > 0.001:
        share = f"solver failure share {numbers.solver_failures:.4f}"
        yield warn(
            "W-NUM-MC", CAUTION, f"{share}: so many draws of the update or of a forecast have no numbers of their own"
        )
    if numbers.population_approximate:
        yield warn(
            "W-NUM-MC", CAUTION, "the population posterior is approximate, not sampled: ranges may be too narrow"
        )
    alive = numbers.ess_population_draws
    if alive is not None and alive < FEW_DRAWS <= (numbers.population_draws or 0):
        left = f"the weight of {alive:.1f} of {numbers.population_draws} population draws is left"
        yield warn("W-NUM-MC", CAUTION, f"{left}: ranges of knowledge rest on few", population_draws=alive)
    main = inputs.main_treatment()
    mark = main.landmark(MAIN_MONTH) if main else None
    if mark is not None and step_for(mark.mcse) is None:
        yield warn(
            "W-NUM-MC",
            WITHHELD,
            f"Monte Carlo error of the 12-month chance is {100 * mark.mcse:.1f} points (at most 2.5)",
            mcse=mark.mcse,
        )
    if mark is not None and step_for(mark.draws_error) is None:
        # a twin that could rest on more draws fails its check; here they are all there are, and the range holds them
        level = WITHHELD if step_for(mark.draws_error / 2.0) is None else CAUTION
        points = f"{100 * mark.draws_error:.1f} points (withheld above 5)"
        yield warn("W-NUM-MC", level, f"other draws of the population would move the 12-month chance by {points}")


NUMBER_RULES = (_pareto, _draws, _monte_carlo)
