"""The command `scores`: how good the forecasts of a predictions.csv were, beside rivals; tables and figures."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bayestwin.cli.options import DONE, SOME_REFUSED, Seed, a_time, discreet, folder_to_write, say, usage_error
from bayestwin.cli.score_figures import ALL, LEVELS, PASS, SPLITS, TWIN, draw_scores

WORDS = {"crps": "CRPS", "rmse": "RMSE", "bias": "bias", "log_score": "log score"}
WORDS |= {f"coverage_{level}": f"{level} % interval" for level in LEVELS}
PREDICTIONS = typer.Argument(help="predictions.csv of replay.", exists=True, dir_okay=False)


def scores(
    predictions: Annotated[Path, PREDICTIONS],
    rival: Annotated[list[str] | None, typer.Option(help="NAME=FILE, a rival's predictions; repeatable.")] = None,
    rivals: Annotated[
        Path | None, typer.Option(help="One file of rivals, with a column `forecaster`.", exists=True, dir_okay=False)
    ] = None,
    reveal_until: Annotated[
        float | None,
        typer.Option(
            help="The T of `replay --reveal-until T`; default: from the file's provenance, if beside it.",
            callback=a_time,
        ),
    ] = None,
    horizon_edges: Annotated[
        str | None, typer.Option(help="Edges of the horizons, as in 7,30,90 (the model's time unit).")
    ] = None,
    patient: Annotated[str | None, typer.Option(help="Patient of the forecast figures (default: most labs).")] = None,
    out: Annotated[Path | None, folder_to_write("Folder for tables (CSV) and figures (PNG).")] = None,
    seed: Seed = 1,
):
    """Score forecasts: coverage, CRPS, errors, log score, PIT, by patient, and the difference to rivals."""
    from bayestwin.evaluation.comparison import compare_forecasters
    from bayestwin.evaluation.predictions_file import read_predictions
    from bayestwin.evaluation.score_tables import score_table

    limits = {"reveal_until": _revealed(predictions, reveal_until), "horizon_edges": _edges(horizon_edges)}
    reading = read_predictions(predictions)
    frame, refusals = reading.frame, list(reading.refusals)
    if patient is not None and patient not in set(frame["patient"]):
        raise usage_error(f"--patient {discreet(patient, patient)}: {predictions.name} holds no such patient.")
    _tell(reading)
    others: dict[str, Any] = {}
    for name, path in [*_named(rival), *([(None, rivals)] if rivals else [])]:
        theirs = read_predictions(path, rivals=name is None)
        _tell(theirs)
        refusals += theirs.refusals
        for own, part in theirs.forecasters.items() if name is None else [(name, theirs.frame)]:
            if own in (*others, TWIN):
                raise usage_error(f"two forecasters are called {own}: give each a name of its own.")
            others[own] = part
    table = score_table(frame, random_seed=seed, **limits)
    _print_scores(frame, table, seed, limits["reveal_until"])
    found = compare_forecasters(frame, others, random_seed=seed, **limits) if others else None
    if found is not None:
        _print_comparison(found)
    if out is not None:
        _write(out, [predictions, rivals, *(path for _, path in _named(rival))], table, frame, found, refusals)
        draw_scores(out, table, frame, found, seed, patient)
        typer.echo(f"wrote tables and figures to {out}")
    return SOME_REFUSED if refusals else DONE


def _revealed(predictions, asked):
    """T as typed, or as the replay wrote it beside the predictions."""
    beside = predictions.with_name(f"{predictions.stem}.provenance.json")
    try:
        written = json.loads(beside.read_text(encoding="utf-8")).get("reveal_until") if beside.is_file() else None
    except (ValueError, AttributeError):
        say(f"note: {beside.name} cannot be read; it is left aside")
        written = None
    if not isinstance(written, int | float) or isinstance(written, bool):
        return asked
    if asked is not None and asked != written:
        raise usage_error(f"--reveal-until {asked:g}, but {beside.name} says {written:g}.")
    say(f"labs up to {written:g} were revealed, says {beside.name}")
    return float(written)


def _edges(text):
    if text is None:
        return None
    try:
        edges = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise usage_error(f"--horizon-edges {text}: write numbers with commas, as in 7,30,90.") from error
    if not all(0 < a < float("inf") for a in edges) or sorted(set(edges)) != edges:
        raise usage_error(f"--horizon-edges {text}: the numbers must be above 0 and increase.")
    return edges


def _named(rival):
    """(name, path) of each NAME=FILE."""
    found = []
    for text in rival or ():
        name, _, path = text.partition("=")
        if not name.strip() or not Path(path).is_file():
            raise usage_error(f"--rival {text}: write NAME=FILE with a file that is there.")
        found.append((name.strip(), Path(path)))
    return found


def _tell(reading):
    for refusal in reading.refusals:
        say(f"refused: {refusal}")
    for note in reading.notes:
        say(f"note: {note}")


def _print_scores(frame, table, seed, reveal_until):
    """Counts, coverage, accuracy and PIT in words."""
    from bayestwin.evaluation.score_tables import count_table, learnt_elsewhere, uniformity_statement
    from bayestwin.evaluation.scores import uniformity

    typer.echo(count_table(frame).to_string(index=False))
    elsewhere = learnt_elsewhere(frame) if reveal_until is None else 0
    if elsewhere:
        say(
            f"note: before {elsewhere} labs other labs were learnt than the file holds, so their horizon may be wrong; "
            "was the file made with --reveal-until?"
        )
    rows = PASS if (table["rows"] == PASS).any() else ALL
    if rows == ALL:
        say("no forecast passed its numerical check: these are the scores of withheld forecasts")
    shown = table[table["rows"] == rows]
    typer.echo(f"\nCoverage in %, 90 % intervals by patient (forecasts: {rows})")
    typer.echo(_layout(shown, [f"coverage_{level}" for level in LEVELS], 100))
    typer.echo(f"\nAccuracy; CRPS, RMSE and bias (mean - observed) on the error scale (forecasts: {rows})")
    typer.echo(_layout(shown, ["crps", "rmse", "bias", "log_score"], 1))
    if (frame["verdict"] != PASS).any() and rows == PASS:
        whole = table[(table["rows"] == ALL) & (table["split"] == "everything")]
        typer.echo("\nThe same for all forecasts that have a score, withheld ones too")
        typer.echo(_layout(whole, [f"coverage_{level}" for level in LEVELS], 100))
        typer.echo(_layout(whole, ["crps", "rmse", "bias", "log_score"], 1))
    kept = frame[frame["verdict"] == PASS] if rows == PASS else frame
    found = uniformity(kept["pit"], kept["patient"], random_seed=seed)
    typer.echo(f"\n{uniformity_statement(found, kept['pit'])}.")


def _layout(table, names, factor):
    """Everything, each output, then the splits over all outputs, as text."""
    import pandas as pd

    from bayestwin.plots.forecast_scores import interval_text

    lines = []
    chosen = table[(table["split"] == "everything") | (table["output"] == ALL)]
    for (split, output, group), part in chosen.groupby(["split", "output", "group"], sort=False):
        if split != "everything" and chosen.loc[chosen["split"] == split, "group"].nunique() < 2:
            continue
        own = part.set_index("score")
        if own.loc[names, "value"].isna().all():
            continue
        label = f"{SPLITS[split]}: {group}" if split in SPLITS else {ALL: "all labs"}.get(output, output)
        unit = "" if factor == 100 else {"mixed": "-"}.get(own.loc["crps", "scale"], own.loc["crps", "scale"])
        cells = {WORDS[n]: interval_text(*(factor * own.loc[n, c] for c in ("value", "low", "high"))) for n in names}
        head = {"": label, "labs": own.loc[names[0], "labs"], "patients": own.loc[names[0], "patients"]}
        lines.append((split, head | ({"scale": unit} if unit else {}) | cells))
    order = ["everything", *SPLITS]
    return pd.DataFrame([line for split in order for s, line in lines if s == split]).to_string(index=False)


def _print_comparison(found):
    """The headline, CRPS and log score against each rival, and which labs were not compared."""
    import pandas as pd

    from bayestwin.plots.forecast_scores import interval_text

    typer.echo(f"\n{found.headline}")
    table = found.table
    whole = table[(table["split"] == "everything") & table["difference"].notna()]
    if found.counts["scored"].equals(found.counts["passed_by_both"]):  # nothing was withheld
        whole = whole[whole["rows"] == PASS]
    lines = []
    for (rival, rows, output), part in whole.groupby(["rival", "rows", "output"], sort=False):
        own = part.set_index(["score", "mean_over"])
        line = {"rival": rival, "forecasts": rows, "output": output, "labs": part["labs"].max()}
        for score, over in (("crps", "labs"), ("crps", "patients"), ("log_score", "labs"), ("absolute_error", "labs")):
            given = (score, over) in own.index
            cells = own.loc[(score, over), ["difference", "low", "high"]] if given else [float("nan")] * 3
            line[f"{WORDS.get(score, 'absolute error')} over {over}"] = interval_text(*cells)
        lines.append(line)
    typer.echo("\nPaired differences, positive where the twin is better")
    typer.echo(pd.DataFrame(lines).to_string(index=False))
    for row in found.counts.itertuples():
        say(
            f"{row.rival}: {row.labs_of_both} labs in common, {row.only_twin} of the twin only, {row.only_rival} of "
            f"the rival only; withheld: {row.withheld_by_twin} by the twin, {row.withheld_by_rival} by the rival; "
            f"{row.other_labs_learnt} after another number of labs"
        )


def _write(out, inputs, table, frame, found, refusals):
    """The tables as CSV; none of them replaces a file that was read."""
    from bayestwin.evaluation.score_tables import count_table
    from bayestwin.records.refusal import refusals_to_frame

    tables = {"scores": table, "counts": count_table(frame)}
    tables |= {"differences": found.table, "comparison_counts": found.counts} if found is not None else {}
    tables |= {"refused": refusals_to_frame(refusals)} if refusals else {}
    out.mkdir(exist_ok=True)
    for name, content in tables.items():
        path = out / f"{name}.csv"
        if any(path.exists() and given is not None and path.samefile(given) for given in inputs):
            raise usage_error(f"{path.name} is read by this command and would be replaced: name another folder.")
        content.to_csv(path, index=False)
