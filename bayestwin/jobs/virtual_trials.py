"""Virtual trials from files to files: arms of an evidence file or of one's own, tables, figures and what they rest on.

outcomes.csv     one row per arm and outcome: expectation, what an arm of n may show, published numbers and their place
curves.csv       one row per arm, endpoint and month: mean with both bands
hazard_ratios.csv  where the file of arms has any whose two arms were simulated: one row each, as of outcomes
<arm>.png, .svg  the curves
provenance.json  model, population, seed, settings, versions
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from bayestwin.errors import FitError, ModelError
from bayestwin.evaluation.published_arms import (
    beside_meta_analysis,
    hazard_ratio_row,
    hazard_ratios_frame,
    outcome_rows,
    outcomes_frame,
)
from bayestwin.jobs.whole_file import write_whole
from bayestwin.plots.virtual_trial import plot_trial_curves
from bayestwin.prognosis import VirtualTrial, virtual_trial
from bayestwin.specification import TrialArm, read_evidence, read_mix
from bayestwin.specification.read_evidence import NEVER_WAITS

CURVES = {"pfs": "free of progression and death", "os": "alive"}


class Simulated(NamedTuple):
    """One arm, simulated."""

    trial: VirtualTrial

    def printed(self) -> str:
        """A few lines for the screen."""
        arm, rows = self.trial.arm, outcome_rows(self.trial, in_sample=True, published=bool(self.trial.arm.outcomes))
        lines = [f"{arm.label or arm.name}: {arm.n} patients, {arm.treatment}, counted from {arm.counted_from}"]
        for row in rows:
            text = f"  {row['outcome']:<20}{_words(row, 'expectation')}, such an arm "
            text += f"{_words(row, 'predicted_low')} to {_words(row, 'predicted_high')}"
            if row.get("published") is not None:
                text += f"; published {_words(row, 'published')}" + ("" if row["inside_95"] else ", outside")
            lines.append(text)
        return "\n".join(lines)


def _words(row, name: str) -> str:
    """A number of an outcome for the screen; a median that is not reached is so called."""
    if not row["what"].endswith("_median"):
        return f"{100.0 * row[name]:.3g}%"
    return f"{row[name]:.3g} months" if isfinite(row[name]) else "not reached"


def chosen_arms(path, model, names, design) -> tuple[TrialArm, ...]:
    """Arms of an evidence file, all or those named, with what `design` says (field -> value, None: as in the file)."""
    arms = read_evidence(path, model)
    known = {arm.name: arm for arm in arms}
    for name in names or ():
        if name not in known:
            raise ModelError(
                "there is no such arm",
                subject=Path(path).name,
                place="--arm",
                value=name,
                allowed=f"one of {', '.join(known)}",
            )
    chosen = [known[name] for name in dict.fromkeys(names)] if names else list(arms)
    return tuple(_designed(arm, design) for arm in chosen)


def own_arm(model, treatment: str, mix, design) -> TrialArm:
    """An arm that nobody has published: of treated patients where they wait for cells and no wait is asked for."""
    model.treatment(treatment)  # raises with the names allowed
    if model.progression is None:
        raise ModelError("a virtual trial needs a progression endpoint", subject=f"model {model.name}")
    known = model.treatment(treatment)
    arm = TrialArm(treatment, treatment, 100, model.progression.visit_every, label=known.label)
    if known.cell_therapy and not (design.get("wait") or design.get("not_started")):
        arm = replace(arm, counted_from="infusion")
    return _designed(replace(arm, mix=read_mix(mix, model) if mix is not None else {}), design)


def _designed(arm: TrialArm, design) -> TrialArm:
    """The arm with what is asked for instead; ModelError where patients counted from treatment are to wait for it."""
    asked = {name: value for name, value in design.items() if value is not None}
    designed = replace(arm, **asked)
    if designed.counted_from in NEVER_WAITS and (designed.wait > 0 or designed.not_started > 0):
        name = "wait" if designed.wait > 0 else "not_started"
        raise ModelError(
            f"an arm that is counted from {designed.counted_from} holds treated patients only, from their first day",
            subject=f"arm {arm.name}",
            place=f"--{name.replace('_', '-')}",
            value=getattr(designed, name),
            allowed="0, or an arm that is counted from randomisation",
        )
    return designed


def simulate_arm(population, arm: TrialArm, **how) -> Simulated:
    """One arm (`virtual_trial`)."""
    return Simulated(virtual_trial(population, arm, **how))


def check_not_learnt(trials, arms) -> None:
    """ModelError unless each of these trials has an arm among those that are simulated."""
    known = list(dict.fromkeys(arm.trial for arm in arms))
    for trial in trials:
        if trial not in known:
            raise ModelError(
                "no arm that is simulated is of this trial",
                place="--not-learnt",
                value=trial,
                allowed=f"one of {', '.join(known)}",
            )


def in_sample(population, arm: TrialArm, not_learnt) -> bool:
    """Was the population learnt from the arm's trial? As its file says (`trials`), else unless the trial is named.

    By the trial, whatever the arm is called: patients of one trial are in its other arms and in pooled ones.
    """
    fitted = population.tree.attrs.get("trials")
    return arm.trial in json.loads(fitted) if fitted is not None else arm.trial not in not_learnt


def printed_ratio(row: dict) -> str:
    """A line for the screen of a published hazard ratio."""
    text = f"{row['treated']} / {row['control']}, hazard ratio of {row['endpoint']}: {row['expectation']:.2f}"
    ends = f"{row['predicted_low']:.2f} to {row['predicted_high']:.2f}"
    return f"{text}, such a trial {ends}; published {row['published']:.2f}" + ("" if row["inside_95"] else ", outside")


def reach_of(arm: TrialArm, ratios) -> float:
    """Months that the curves of an arm must reach for the hazard ratios that it is part of."""
    return max((r.followed or 0.0 for r in ratios if arm.name in (r.treated, r.control)), default=0.0)


def ratio_rows(population, simulated, ratios, not_learnt) -> tuple[list[dict], dict[str, str]]:
    """Rows of the hazard ratios both of whose arms were simulated; name -> why of those that have none."""
    trials, rows, failed = {one.trial.arm.name: one.trial for one in simulated}, [], {}
    for ratio in ratios:
        pair = trials.get(ratio.treated), trials.get(ratio.control)
        if pair[0] is None or pair[1] is None:
            continue
        seen = in_sample(population, pair[0].arm, not_learnt)
        try:
            rows.append(hazard_ratio_row(*pair, ratio, in_sample=seen))
        except (FitError, ModelError) as problem:  # the arms themselves stand
            failed[ratio.name] = str(problem)
    return rows, failed


def write_trials(
    population, simulated, folder: Path, arms, *, published: bool, asked: dict, failed: dict, ratios=()
) -> list[Path]:
    """Tables, figures and provenance of simulated arms; the files written.

    arms : all that were published, simulated or not: the meta-analysis beside an arm is of all the others
    ratios : rows of hazard ratios (`ratio_rows`)
    """
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    trials, rows, curves, files = [one.trial for one in simulated], [], [], []
    for trial in trials:
        seen = in_sample(population, trial.arm, asked.get("not_learnt", ()))
        rows += outcome_rows(trial, in_sample=seen, published=published)
        drawn = {name: trial.curve(name) for name in CURVES if name == "pfs" or trial.model.progression.death_hazards}
        for name, curve in drawn.items():
            curves.append(pd.DataFrame({"arm": trial.arm.name, "endpoint": name, **curve}))
        files += _figures(trial, drawn, folder, published)
    mine = {trial.arm.name: trial.arm for trial in trials}
    arms = [*mine.values(), *(arm for arm in arms if arm.name not in mine)]
    beside_meta_analysis(rows, arms, population.model, random_seed=asked["random_seed"])
    said = provenance(population, trials, asked, failed)
    tables = {
        "outcomes.csv": outcomes_frame(rows).to_csv(index=False),
        "curves.csv": pd.concat(curves).to_csv(index=False, float_format="%.5f"),
        "provenance.json": json.dumps(said, indent=1, sort_keys=True) + "\n",
    }
    if ratios:
        tables["hazard_ratios.csv"] = hazard_ratios_frame(ratios).to_csv(index=False)
    return [*(write_whole(folder / name, text) for name, text in tables.items()), *files]


def _figures(trial: VirtualTrial, drawn, folder: Path, published: bool) -> list[Path]:
    """The curves of one arm as PNG and SVG."""
    from bayestwin.plots.style import quiet_style

    marks = []
    for outcome in trial.arm.outcomes if published else ():
        name = outcome.what.partition("_")[0]
        if name in drawn:
            mark = {"curve": CURVES[name], "month": outcome.month, "median": not outcome.is_share}
            marks.append(mark | {"value": outcome.value, "low": outcome.low, "high": outcome.high})
    axes = plot_trial_curves(
        {CURVES[name]: curve for name, curve in drawn.items()}, marks, title=trial.arm.label or trial.arm.name
    )
    files = [folder / f"{trial.arm.name}.{kind}" for kind in ("png", "svg")]
    with quiet_style(**{"svg.hashsalt": trial.arm.name}):
        axes[0].figure.savefig(files[0], dpi=150)
        axes[0].figure.savefig(files[1], metadata={"Date": None})
    return files


def provenance(population, trials, asked: dict, failed: dict) -> dict:
    """What virtual trials rest on; `asked` are the settings."""
    attrs = population.tree.attrs
    return {
        **{name: attrs.get(name) for name in ("model", "model_hash", "verdict", "method", "method_note", "data_hash")},
        "versions": json.loads(attrs.get("versions") or "{}"),
        "population_hash": population.hash,
        "rho": population.rho,
        "arms": {
            trial.arm.name: {
                "trial": trial.arm.trial,
                "counted_from": trial.arm.counted_from,
                "n": trial.arm.n,
                "measurable_at_screening": round(trial.entered, 4),
                "not_solved": round(trial.failed, 5),
                "between_trial": list(trial.between_trial),
            }
            for trial in trials
        },
        "failed": failed,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **asked,
    }
