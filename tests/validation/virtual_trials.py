"""Every published arm as a virtual trial, by a population that never saw it: docs/validation/virtual_trials.md.

    PYTHONPATH=. python tests/validation/virtual_trials.py --left-out WORK --rows rows.json
    PYTHONPATH=. python tests/validation/virtual_trials.py --rows rows.json --write docs/validation/virtual_trials.md

Populations without one trial come from the script beside the model (make_population.py). They are looked for in the
folder --left-out as `<trial>.nc`, the trial in lower case with hyphens, or named one by one with --population-without
TRIAL=FILE. Arms without one are simulated from the shipped population, or --population, and their rows are marked
in-sample, unless it was fitted to no arm of their trial. --rows keeps what is simulated, arm by arm, so that a run
which was stopped goes on where it was; an arm of a changed population is simulated anew.
"""

import argparse
import json
import os
import re
import time
from datetime import date
from pathlib import Path

import numpy as np

from bayestwin.evaluation.published_arms import beside_meta_analysis, hazard_ratio_row, outcome_rows, verdicts
from bayestwin.jobs.compilation_cache import use_compilation_cache
from bayestwin.plots.style import quiet_style
from bayestwin.plots.virtual_trial import plot_published_outcomes, plot_trial_curves

WORDS = {
    "response": "response",
    "complete_response": "CR",
    "pfs_median": "median PFS",
    "os_median": "median OS",
    "pfs_at": "PFS",
    "os_at": "OS",
}
AIMS = (
    ("arms with all outcomes inside their 95 % intervals", "arms_inside_95", 0.9, "at least 90 %"),
    ("outcomes inside their 95 % intervals", "rows_inside_95", 0.9, "at least 90 %"),
    ("arms with nothing beyond 99.9 %", "arms_inside_999", 1.0, "all"),
    ("response and CR inside 95 % for the published n", "response_inside_95", 0.9, "at least 90 %"),
)
COMMAND = (
    "    PYTHONPATH=. python tests/validation/virtual_trials.py --left-out WORK --rows rows.json \\",
    "        --write docs/validation/virtual_trials.md",
)
NOTES = (
    "The meta-analysis (Bayesian random effects on the logit scale, heterogeneity HalfNormal(0.5)) knows the same",
    "landmark of the other trials of the class, and neither what was given nor to whom; a landmark that no other",
    "trial of the class published is not compared. Where no hazard of drop-out was published, arms are followed",
    "completely, so that their intervals are somewhat too narrow late on. No therapy after progression is simulated:",
    "its average effect is in the hazard of death, which the other trials' survival taught.",
)
ERROR_AIM = 5.0  # points, median absolute error of response and CR


GUIDED = {  # trial: what was chosen after its rows had been seen (docs/decisions)
    "CARTITUDE-1": "spread of T-cell products, kill of cells: decisions 26, 44",
    "ASPIRE": "a drug is added to a treatment: 40",
    "DREAMM-7": "the same: 40",
    "POLLUX": "the same: 40",
    "KarMMa-3": "differences between trials in death: 40",
    "LocoMMotion": "the same: 40",
    "CASTOR": "Vd is over after eight cycles: 48",
}


def slug(trial: str) -> str:
    """A trial's name as a file name."""
    return re.sub(r"[^a-z0-9]+", "-", trial.lower()).strip("-")


def population_files(arms, folder: Path | None, named) -> dict[str, Path]:
    """Trial -> file of the population that never saw it."""
    found = {}
    for trial in dict.fromkeys(arm.trial for arm in arms):
        if folder is not None and (folder / f"{slug(trial)}.nc").is_file():
            found[trial] = folder / f"{slug(trial)}.nc"
    for text in named:
        trial, _, file = text.partition("=")
        if trial not in [arm.trial for arm in arms] or not Path(file).is_file():
            known = ", ".join(dict.fromkeys(arm.trial for arm in arms))
            raise SystemExit(
                f"--population-without {text}: want TRIAL=FILE, TRIAL one of {known}, FILE one that exists"
            )
        found[trial] = Path(file)
    return found


def fitted_to(population, trial: str, arms) -> bool:
    """Whether the population was fitted to any arm of the trial; where its file does not say, it may have been."""
    fitted = population.tree.attrs.get("arms")
    return fitted is None or any(arm.trial == trial for arm in arms if arm.name in json.loads(fitted))


class Simulator:
    """Virtual trials of arms, each under the population that never saw its trial, else the shipped one."""

    def __init__(self, shipped, files, every, ratios=(), *, draws: int, patients: int, seed: int):
        self.shipped, self.files, self.every, self.ratios = shipped, files, every, ratios
        self.how = {"random_seed": seed, "draws": draws, "patients": patients}
        self._loaded: dict = {}
        self._trials: dict = {}

    def population_of(self, arm):
        """The population that simulates an arm."""
        from bayestwin.population import load_population

        file = self.files.get(arm.trial)
        if file is None:
            return self.shipped
        if file not in self._loaded:
            self._loaded = {file: load_population(file, self.shipped.model)}
        left_out = self._loaded[file].tree.attrs.get("left_out", arm.trial)
        if left_out != arm.trial:
            raise SystemExit(f"{file.name} left out {left_out or 'no trial'}, and not {arm.trial}")
        return self._loaded[file]

    def in_sample(self, arm) -> bool:
        """Whether that population was fitted to an arm of the trial."""
        return self.files.get(arm.trial) is None and fitted_to(self.shipped, arm.trial, self.every)

    def key(self, *arms) -> list:
        """What rows of these arms rest on."""
        settings = [self.how[name] for name in ("draws", "patients", "random_seed")]
        return [self.population_of(arms[0]).hash, *settings, *map(repr, arms)]

    def trial(self, arm):
        """One arm; those of the same trial are kept, since a hazard ratio asks for two."""
        from bayestwin.jobs.virtual_trials import reach_of
        from bayestwin.prognosis import virtual_trial

        how = self.how | {"reach": reach_of(arm, self.ratios)}
        if arm.name not in self._trials:
            same = {name: one for name, one in self._trials.items() if one.arm.trial == arm.trial}
            self._trials = same | {arm.name: virtual_trial(self.population_of(arm), arm, **how)}
        return self._trials[arm.name]


def simulated_rows(arms, ratios, simulator: Simulator, kept: Path) -> tuple[dict, list[dict]]:
    """(arm -> rows, PFS curve, seconds, population hash; rows of hazard ratios), from and added to the file `kept`."""
    found = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    known = {arm.name: arm for arm in arms}

    def add(name: str, entry: dict) -> None:
        found[name] = entry
        part = kept.with_name(f"{kept.name}.part")
        part.write_text(json.dumps(found), encoding="utf-8")
        part.replace(kept)

    asked = []
    for trial in dict.fromkeys(arm.trial for arm in arms):
        for arm in (arm for arm in arms if arm.trial == trial):
            key = simulator.key(arm)
            if found.get(arm.name, {}).get("key") == key:
                continue
            begun = time.process_time()
            one = simulator.trial(arm)
            rows = outcome_rows(one, in_sample=simulator.in_sample(arm))
            curve = {name: np.round(values, 4).tolist() for name, values in one.curve("pfs").items()}
            numbers = {"entered": one.entered, "failed": one.failed, "seconds": time.process_time() - begun}
            add(arm.name, {"key": key, "rows": rows, "curve": curve, **numbers})
            seen = "in-sample" if simulator.in_sample(arm) else "trial left out"
            print(f"{arm.name}: {numbers['seconds']:.1f} s CPU, {seen}", flush=True)
        for ratio in ratios:
            pair = known.get(ratio.treated), known.get(ratio.control)
            if None in pair or pair[0].trial != trial:
                continue
            asked.append(ratio.name)
            key = [*simulator.key(*pair), repr(ratio)]
            if found.get(ratio.name, {}).get("key") != key:
                both = [simulator.trial(arm) for arm in pair]
                row = hazard_ratio_row(*both, ratio, in_sample=simulator.in_sample(pair[0]))
                add(ratio.name, {"key": key, "row": row})
    return {arm.name: found[arm.name] for arm in arms}, [found[name]["row"] for name in asked]


def ratio_table(rows, labels) -> list[str]:
    """One line per published hazard ratio, and what they come to."""
    if not rows:
        return []
    apart = [row for row in rows if not row["in_sample"]]
    inside = sum(row["inside_95"] for row in apart)
    held = [row for row in apart if row["low"] is not None]
    within = sum(row["low"] <= row["expectation"] <= row["high"] for row in held)
    lines = [
        "## Arms of one trial beside each other",
        "",
        f"Hazard ratios within randomised trials, never fitted as such. Trial left out: {inside} of {len(apart)} lie",
        f"inside the 95 % interval of such a trial; {within} of {len(held)} expectations lie inside the published one.",
        "",
        "| arms | endpoint | published (95 %) | expected (95 %) | such a trial, 95 % | place | |",
        "|---" * 7 + "|",
    ]
    for row in rows:
        said = f"{row['published']:.2f}"
        said += f" ({row['low']:.2f} to {row['high']:.2f})" if row["low"] is not None else ""
        notes = [] if row["inside_95"] else ["**outside 95 %**" if row["inside_999"] else "**outside 99.9 %**"]
        notes += ["in-sample"] if row["in_sample"] else []
        notes += [f"outside the context of use: {row['outside']}"] if row["outside"] else []
        lines.append(
            f"| {labels[row['treated']]} / {labels[row['control']]} | {row['endpoint'].upper()} | {said} | "
            f"{row['expectation']:.2f} ({row['expectation_low']:.2f} to {row['expectation_high']:.2f}) | "
            f"{row['predicted_low']:.2f} to {row['predicted_high']:.2f} | {row['pit']:.2f} | {'; '.join(notes)} |"
        )
    return [*lines, ""]


def name_of(row) -> str:
    """An outcome in words."""
    return WORDS[row["what"]] + (f" at {row['month']:g} months" if row["month"] else "")


def number(row, value) -> str:
    """A number of an outcome, as printed."""
    if value is None:
        return "-"
    if row["what"].endswith("_median"):
        return "not reached" if not np.isfinite(value) else f"{value:.1f}"
    return f"{100 * value:.0f} %"


def table(rows) -> list[str]:
    """One line per published outcome."""
    head = "| arm | n | outcome | published | expected (95 %) | arms of this n, 95 % | place | |"
    lines = [head, "|---" * 8 + "|"]
    for row in rows:
        ends = f"{number(row, row['expectation_low'])} to {number(row, row['expectation_high'])}"
        arms = f"{number(row, row['predicted_low'])} to {number(row, row['predicted_high'])}"
        notes = [] if row["inside_95"] else ["**outside 95 %**" if row["inside_999"] else "**outside 99.9 %**"]
        notes += ["in-sample"] if row["in_sample"] else []
        notes += ["never fitted"] if row["use"] == "shown" else []
        notes += ["memory"] if row["mark"] == "memory" else []
        notes += [f"outside the context of use: {row['outside']}"] if row["outside"] else []
        lines.append(
            f"| {row['label']} | {row['n']} | {name_of(row)} | {number(row, row['published'])} | "
            f"{number(row, row['expectation'])} ({ends}) | {arms} | {row['pit']:.2f} | {'; '.join(notes)} |"
        )
    return lines


def summary(rows, title: str) -> list[str]:
    """The aims and whether they are met, over these rows."""
    if not rows:
        return [f"**{title}**: none.", ""]
    found = verdicts(rows)
    lines = [
        f"**{title}**: {found['arms']} arms, {found['rows']} outcomes.",
        "",
        "| | found | aim | |",
        "|---|---|---|---|",
    ]
    for text, name, least, aim in AIMS:
        met = "" if not np.isfinite(found[name]) else "met" if found[name] >= least - 1e-9 else "**missed**"
        lines.append(f"| {text} | {100 * found[name]:.0f} % | {aim} | {met} |")
    error = 100 * found["response_error"]
    met = "met" if error < ERROR_AIM else "**missed**"
    lines.append(f"| median absolute error of response and CR | {error:.1f} points | under {ERROR_AIM:g} | {met} |")
    if found["landmarks"]:
        met = "met" if found["crps"] < found["crps_meta_analysis"] else "**missed**"
        both = f"{found['crps']:.3f}, meta-analysis {found['crps_meta_analysis']:.3f}"
        lines.append(f"| CRPS of {found['landmarks']} landmarks | {both} | smaller | {met} |")
    return [*lines, ""]


def guided(rows) -> list[str]:
    """The same measures without the trials after whose rows something in the model was chosen."""
    here = {row["trial"] for row in rows}
    named = ", ".join(f"{trial} ({why})" for trial, why in GUIDED.items() if trial in here)
    if not named:
        return []
    rest = [row for row in rows if row["trial"] not in GUIDED]
    return [
        f"**Left out is not unseen.** Something in the model was chosen after rows of these trials: {named}.",
        "Populations without a trial do not know its numbers; whoever chose did, so that only the rest is a test.",
        "",
        *summary(rest, "Trial left out, without those after whose rows something was chosen"),
    ]


def between_trials_of_one_regimen(arms) -> list[float]:
    """Differences of response and of CR, points, between every two arms of one treatment in different trials."""
    known = [(arm, o) for arm in arms if not arm.outside for o in arm.outcomes if o.use == "fit"]
    return [
        100.0 * abs(one.value - other.value)
        for k, (arm, one) in enumerate(known)
        for another, other in known[k + 1 :]
        if arm.treatment == another.treatment and arm.trial != another.trial
        if one.what == other.what and one.what in ("response", "complete_response")
    ]


def attainable(arms) -> list[str]:
    """What no prediction from other trials can be expected to go below."""
    apart = between_trials_of_one_regimen(arms)
    if not apart:
        return []
    middle = np.median(apart)
    least = middle / np.sqrt(2.0)
    return [
        f"Two trials of one regimen differ by {middle:.1f} points in the median ({len(apart)} pairs of published",
        f"shares); a prediction that knew the regimen's mean over trials would be off by some {least:.1f}.",
        "",
    ]


def figures(simulated, rows, page: Path) -> list[str]:
    """Figures beside the page; the lines that show them."""
    lines, folder = [], page.parent
    shares = [r | {"text": f"{r['label']}, {name_of(r)}"} for r in rows if not r["what"].endswith("_median")]
    times = [r | {"text": f"{r['label']}, {name_of(r)}"} for r in rows if r["what"].endswith("_median")]
    for name, chosen, unit, words in (
        ("shares", shares, "%", "Shares of patients"),
        ("medians", times, "months", "Medians"),
    ):
        if chosen:
            file = folder / f"{page.stem}_{name}.png"
            plot_published_outcomes(chosen, unit=unit, title=words).figure.savefig(file, dpi=130, bbox_inches="tight")
            lines += [f"![{words}: published beside predicted]({file.name})", ""]
    file = folder / f"{page.stem}_pfs.png"
    curve_grid(simulated, rows).savefig(file, dpi=110, bbox_inches="tight")
    return [*lines, f"![Progression-free survival of every arm]({file.name})", ""]


def curve_grid(simulated, rows, columns: int = 4):
    """Progression-free survival of every arm, published landmarks and medians marked."""
    from matplotlib.figure import Figure

    columns = min(columns, len(simulated))
    down = -(-len(simulated) // columns)
    figure = Figure(figsize=(2.8 * columns, 2.3 * down))
    for place, (name, one) in enumerate(simulated.items()):
        mine = [row for row in rows if row["arm"] == name]
        marks = [
            {**{k: row[k] for k in ("low", "high", "month")}, "curve": "pfs", "value": row["published"]}
            | {"median": row["what"].endswith("_median")}
            for row in mine
            if row["what"].startswith("pfs")
        ]
        with quiet_style():
            ax = figure.add_subplot(down, columns, place + 1)
            plot_trial_curves({"pfs": one["curve"]}, marks, title=mine[0]["label"], axes=[ax])
            ax.set_ylabel("")
            ax.set_xlabel("")
            ax.get_legend().remove()
    with quiet_style():
        figure.tight_layout()
    return figure


def page_text(simulated, rows, ratios, page: Path, said: dict) -> str:
    """The page, figures written beside it."""
    apart = [row for row in rows if not row["in_sample"]]
    inside = [row for row in apart if not row["outside"]]
    seconds = [one["seconds"] for one in simulated.values()]
    unsolved = 100 * max(one["failed"] for one in simulated.values())
    entered = [100 * one["entered"] for one in simulated.values()]
    lines = [
        "# Virtual trials",
        "",
        f"{said['date']}. Every arm of `{said['evidence']}` simulated with its covariate mix, visits, wait and size",
        f"({said['draws']} population draws, {said['patients']} virtual patients each, seed {said['seed']}). How:",
        "[virtual_trials.md](../virtual_trials.md).",
        "",
        *COMMAND,
        "",
        "**Only rows of a population that never saw the trial (leave one trial out) say how the model predicts**;",
        "rows marked in-sample come from a population that was fitted to the arm. The place is the share of simulated",
        "arms of the published size below the published number (0.5: in the middle).",
        "",
        *summary(inside, "Trial left out, within the context of use"),
        *attainable(said["arms"]),
        *guided(inside),
        *summary([row for row in apart if row["outside"]], "Trial left out, outside the context of use"),
        *summary([row for row in rows if row["in_sample"]], "In-sample"),
        *figures(simulated, rows, page),
        "Thick line: 95 % of arms of the published size, pale where in-sample; bar: expectation; diamond: published,",
        "hollow where in-sample, a cross where outside. Curves: mean, 95 % of the expectation (dark) and of arms of",
        "the published size (pale), by months.",
        "",
        *table(rows),
        "",
        *ratio_table(ratios, {arm.name: arm.label for arm in said["arms"]}),
        *NOTES,
        "",
        f"Cost: {np.mean(seconds):.1f} s of CPU an arm, {sum(seconds):.0f} s in all, {said['load']}. At most",
        f"{unsolved:.1f} % of the futures of an arm could not be solved and do not count; {min(entered):.0f} to",
        f"{max(entered):.0f} % of virtual patients were measurable at screening.",
        "",
    ]
    return "\n".join(lines)


def main():
    """Simulate what is asked for, write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="myeloma_car_t")
    parser.add_argument("--evidence", type=Path, help="default: evidence.toml of the model's folder")
    parser.add_argument("--population", type=Path, help="for arms without one of their own; default: the shipped one")
    parser.add_argument("--population-without", action="append", default=[], metavar="TRIAL=FILE")
    parser.add_argument("--left-out", type=Path, metavar="FOLDER")
    parser.add_argument("--rows", type=Path, default=Path("virtual_trials_rows.json"))
    parser.add_argument("--arms", nargs="*", help="only these")
    parser.add_argument("--draws", type=int, default=800)  # all there are: ends of 99.9 % rest on them
    parser.add_argument("--patients", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, metavar="PAGE")
    given = parser.parse_args()
    use_compilation_cache()
    from bayestwin.population import load_population
    from bayestwin.specification import load_model, model_folder, read_evidence, read_hazard_ratios

    model = load_model(given.model)
    evidence = given.evidence or model_folder(given.model) / "evidence.toml"
    every = read_evidence(evidence, model)
    arms = [arm for arm in every if given.arms is None or arm.name in given.arms]
    shipped = load_population(given.population or model_folder(given.model) / "population.nc", model)
    files = population_files(arms, given.left_out, given.population_without)
    how = {"draws": given.draws, "patients": given.patients, "seed": given.seed}
    ratios = read_hazard_ratios(evidence, model)
    simulated, ratios = simulated_rows(arms, ratios, Simulator(shipped, files, every, ratios, **how), given.rows)
    rows = [row for one in simulated.values() for row in one["rows"]]
    beside_meta_analysis(rows, every, model, random_seed=given.seed)
    if given.write:
        load = f"load {os.getloadavg()[0]:.0f} when this page was written"
        said = how | {"arms": every, "date": date.today().isoformat(), "evidence": evidence.name, "load": load}
        given.write.write_text(page_text(simulated, rows, ratios, given.write, said), encoding="utf-8")
        print(f"wrote {given.write}")
    print("\n".join(summary([row for row in rows if not row["in_sample"]], "Trial left out")))
    print("\n".join(summary([row for row in rows if row["in_sample"]], "In-sample")))


if __name__ == "__main__":
    main()
