"""Virtual trials beside what was published: where each number lies in what the model predicted for an arm of its size.

    pit             share of simulated arms of n patients below the published number, ties counted half
    inside 95 %     more than 2.5 % of the arms lie at or below it and more than 2.5 % at or above; 99.9 % likewise
    error           median of the simulated arms less published, of shares: what has the least absolute error
    crps            of the simulated arms, of shares; beside it that of a meta-analysis of the class (meta_analysis.py)

A row is in-sample where the population was learnt from the arm's own trial; only rows of a population that never saw
the trial say how the model predicts. Source: Gneiting and Raftery (2007), JASA 102:359.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from bayestwin.errors import FitError
from bayestwin.evaluation.meta_analysis import by_trial, new_arms, study_of
from bayestwin.prognosis.hazard_ratio import hazard_ratios
from bayestwin.specification.evidence import HazardRatio, TrialArm
from bayestwin.specification.load import model_part
from bayestwin.twin.surprise import sample_crps

FRAME = (
    "arm label trial treatment n counted_from outcome what month published low high mark use expectation "
    "expectation_low expectation_high predicted predicted_low predicted_high predicted_low_999 predicted_high_999 pit "
    "inside_95 inside_999 error crps crps_meta_analysis meta_analysis_trials in_sample outside"
).split()

RATIOS = (
    "trial treated control endpoint followed published low high mark expectation expectation_low expectation_high "
    "predicted predicted_low predicted_high predicted_low_999 predicted_high_999 no_events pit inside_95 inside_999 "
    "in_sample outside"
).split()


def outcome_rows(trial, *, in_sample: bool, published: bool = True) -> list[dict]:
    """One row per outcome of a virtual trial; published : the arm's outcomes are data and not only names."""
    arm, found = trial.arm, []
    for outcome in trial.outcomes:
        draws, arms = trial.draws_of(outcome), trial.predicted(outcome)
        row = {"arm": arm.name, "label": arm.label, "trial": arm.trial, "treatment": arm.treatment, "n": arm.n}
        row["counted_from"] = arm.counted_from
        row |= {"outcome": outcome.name, "what": outcome.what, "month": outcome.month}
        row |= dict(zip(("expectation_low", "expectation", "expectation_high"), middle(draws, (0.025, 0.5, 0.975))))
        row["expectation"] = float(draws.mean()) if outcome.is_share else row["expectation"]
        ends = ("predicted_low_999", "predicted_low", "predicted", "predicted_high", "predicted_high_999")
        row |= dict(zip(ends, middle(arms, (0.0005, 0.025, 0.5, 0.975, 0.9995))))
        row |= {"in_sample": in_sample, "outside": arm.outside}
        if published:
            row |= {"published": outcome.value, "low": outcome.low, "high": outcome.high, "mark": outcome.mark}
            row |= {"use": outcome.use} | place_of(arms, outcome.value)
            if outcome.is_share:
                row["error"] = row["predicted"] - outcome.value
                row["crps"] = sample_crps(arms, np.full(len(arms), 1.0 / len(arms)), outcome.value)
        found.append(row)
    return found


def hazard_ratio_row(treated, control, ratio: HazardRatio, *, in_sample: bool) -> dict:
    """A published hazard ratio beside what two virtual trials of one population say of it (hazard_ratio.py).

    Pairs of arms without any event have no ratio; `no_events` is their share, the others are what is compared with.
    """
    draws, pairs = hazard_ratios(treated, control, ratio.endpoint, followed=ratio.followed)
    empty = np.isnan(pairs)
    if empty.all():
        raise FitError(
            "no simulated patient had the event of a hazard ratio",
            subject=f"arms {ratio.treated} and {ratio.control}",
            place=ratio.endpoint,
            next_step="Simulate for longer, or more patients.",
        )
    pairs = pairs[~empty]
    row: dict = {"trial": treated.arm.trial, "treated": ratio.treated, "control": ratio.control}
    followed = ratio.followed or float(min(treated.months[-1], control.months[-1]))
    row |= {"endpoint": ratio.endpoint, "followed": followed, "published": ratio.value}
    row["no_events"] = float(empty.mean())
    row |= {"low": ratio.low, "high": ratio.high, "mark": ratio.mark}
    row |= dict(zip(("expectation_low", "expectation", "expectation_high"), middle(draws, (0.025, 0.5, 0.975))))
    ends = ("predicted_low_999", "predicted_low", "predicted", "predicted_high", "predicted_high_999")
    row |= dict(zip(ends, middle(pairs, (0.0005, 0.025, 0.5, 0.975, 0.9995))))
    return row | place_of(pairs, ratio.value) | {"in_sample": in_sample, "outside": treated.arm.outside}


def place_of(arms, value: float) -> dict:
    """Where a published number lies among simulated arms (A,)."""
    below, not_above = (arms < value - 1e-9).mean(), (arms <= value + 1e-9).mean()
    found = {"pit": float(0.5 * (below + not_above))}
    for name, level in (("inside_95", 0.95), ("inside_999", 0.999)):
        tail = 0.5 * (1.0 - level)
        found[name] = bool(not_above > tail and below < 1.0 - tail)
    return found


def middle(values, levels) -> list[float]:
    """Quantiles as of curves; where medians are not reached, the nearest values, since nothing lies between."""
    if np.isfinite(values).all():
        return [float(q) for q in np.quantile(values, levels)]
    ordered = np.sort(values)
    return [float(ordered[int(np.clip(round(level * (len(ordered) - 1)), 0, len(ordered) - 1))]) for level in levels]


def treatment_class(model, treatment: str) -> str:
    """The class of a treatment: as the model's folder says (TREATMENT_CLASS in endpoints.py), else cells or drugs."""
    said = getattr(model_part(model, "endpoints"), "TREATMENT_CLASS", {})
    return said.get(treatment) or ("cell therapy" if model.treatment(treatment).cell_therapy else "drug")


def beside_meta_analysis(rows, arms: Sequence[TrialArm], model, *, random_seed: int) -> None:
    """Add to rows of landmarks the CRPS of a meta-analysis of the other trials of the class, in place.

    Landmarks of the same outcome and month only; nothing where no other trial of the class published one.
    """
    known = {arm.name: arm for arm in arms}
    for row in rows:
        if not row["what"].endswith("_at") or row.get("published") is None:
            continue
        kind = treatment_class(model, row["treatment"])
        others = [
            study_of(arm.trial, arm.outcome(row["outcome"]), arm.n)
            for arm in arms
            if arm.trial != row["trial"]
            and treatment_class(model, arm.treatment) == kind
            and arm.outcome(row["outcome"]) is not None
        ]
        row["meta_analysis_trials"] = len(by_trial(others))
        if others:
            rng = np.random.default_rng([random_seed, *row["arm"].encode(), *row["outcome"].encode()])
            shares = new_arms(by_trial(others), known[row["arm"]].n, rng=rng)
            row["crps_meta_analysis"] = sample_crps(shares, np.full(len(shares), 1.0 / len(shares)), row["published"])


def outcomes_frame(rows):
    """Rows as a pandas DataFrame, columns in the order of FRAME."""
    import pandas as pd

    return pd.DataFrame(rows).reindex(columns=list(FRAME))


def hazard_ratios_frame(rows):
    """Rows of hazard ratios as a pandas DataFrame, columns in the order of RATIOS."""
    import pandas as pd

    return pd.DataFrame(rows).reindex(columns=list(RATIOS))


def verdicts(rows) -> Mapping[str, float]:
    """What a set of rows comes to: shares of arms and rows inside, median absolute error in points, mean CRPS.

    An arm counts as inside where all of its outcomes are.
    """
    rows = [row for row in rows if row.get("published") is not None]
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    response = [row for row in rows if row["what"] in ("response", "complete_response")]
    both = [row for row in rows if row.get("crps_meta_analysis") is not None]

    def share(chosen, name) -> float:
        return float(np.mean([row[name] for row in chosen])) if chosen else float("nan")

    def of_arms(name) -> float:
        return float(np.mean([all(row[name] for row in rows if row["arm"] == arm) for arm in arms])) if arms else np.nan

    return {
        "arms": len(arms),
        "rows": len(rows),
        "arms_inside_95": of_arms("inside_95"),
        "rows_inside_95": share(rows, "inside_95"),
        "arms_inside_999": of_arms("inside_999"),
        "rows_inside_999": share(rows, "inside_999"),
        "response_inside_95": share(response, "inside_95"),
        "response_error": float(np.median([abs(row["error"]) for row in response])) if response else float("nan"),
        "crps": float(np.mean([row["crps"] for row in both])) if both else float("nan"),
        "crps_meta_analysis": float(np.mean([row["crps_meta_analysis"] for row in both])) if both else float("nan"),
        "landmarks": len(both),
    }
