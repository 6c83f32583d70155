"""The command `scoreboard`: how the forecasts that a store has published held, and which labs do not fit."""

import sys
from math import exp
from pathlib import Path
from typing import Annotated

import typer

from bayestwin.cli.options import DONE, NOTHING_USABLE, SOME_REFUSED, Seed, StoreUrl, say, usage_error

DRAWN = 3  # treatments in one figure, beside all together: more have no style of their own
SHIFT_SHOWN = 0.05  # adjusted p of a group that is named


def scoreboard(
    store: StoreUrl,
    out: Annotated[
        Path | None, typer.Option(help="Folder for tables (CSV) and figures (PNG).", file_okay=False)
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="Group labs by laboratory, product or a covariate such as hospital; repeatable."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="New place of the model's folder, if it moved.")] = None,
    seed: Seed = 1,
):
    """Score every published forecast against the labs that came after it; pool surprises to find drift and swaps."""
    from bayestwin.evaluation.kept_forecasts import scoreboard as board_of
    from bayestwin.evaluation.pooled_surprise import swapped_samples
    from bayestwin.jobs.scoreboard import GROUPS, gather, shifts
    from bayestwin.store.opening import open_store

    found = gather(open_store(store), model_text=model, progress=sys.stderr.isatty())
    for problem in found.problems:
        say(problem)
    for column in by or ():
        if column not in found.groups:
            raise usage_error(f"--by {column}: no group of labs; choose one of {', '.join(found.groups)}.")
    board = board_of(found.forecasts, time_unit=found.time_unit, random_seed=seed)
    typer.echo(f"{found.published} published forecasts read, {len(found.forecasts)} of labs that came after them")
    if found.of_another_assay:
        say(
            f"{found.of_another_assay} labs of a laboratory or product with a factor of its own are not scored: "
            "forecasts are of a lab of the usual one"
        )
    if board.empty and not found.surprises:
        say("Nothing to score yet: no lab has come after a forecast.")
        return NOTHING_USABLE
    _print_board(board)
    tables = shifts(found.surprises, by or GROUPS, random_seed=seed)
    _print_shifts(tables, asked=by or ())
    swaps = swapped_samples(found.surprises)
    _print_labs(found.surprises, swaps)
    if out is not None:
        _write(out, found, board, tables, swaps)
    return SOME_REFUSED if found.problems else DONE


def _print_board(board):
    """Coverage over all treatments, by output and months ahead."""
    if board.empty:
        return
    shown = board[(board["treatment"] == "all") & board["score"].isin(["coverage_80", "crps"])]
    typer.echo(shown.drop(columns="treatment").to_string(index=False, float_format="{:.3f}".format))


def _print_shifts(shifts, asked):
    """One line per group whose labs were higher or lower than expected."""
    for column, table in shifts.items():
        if column in asked and table["p"].isna().all():
            say(f"{column}: no group of at least five patients, so none was tested")
        for row in table[table["p_adjusted"] < SHIFT_SHOWN].to_dict("records"):
            if row["ratio"] == row["ratio"]:
                size = f"by the factor {row['ratio']:.2f} ({exp(row['low']):.2f} to {exp(row['high']):.2f})"
            else:
                size = f"by {row['shift']:.3g} ({row['low']:.3g} to {row['high']:.3g})"
            way = "higher" if row["shift"] > 0 else "lower"
            say(
                f"{column} {row[column]}: {row['output']} was {way} than expected {size} "
                f"(adjusted p {row['p_adjusted']:.2g}, {row['labs']} labs of {row['patients']} patients)"
            )


def _print_labs(surprises, swaps):
    """Labs that are perhaps tenfold, pairs that are perhaps swapped, and how many there were."""
    alarms = [row for row in surprises if row["alarm"]]
    for row in alarms:
        say(f"patient {row['patient']}: {row['output']} at {row['time']:g} was {row['observed']:.4g}, {row['alarm']}?")
    for row in swaps.itertuples():
        say(
            f"swapped? {row.output}, stored {row.batch}: {row.value_a:.4g} of patient {row.patient_a} and "
            f"{row.value_b:.4g} of patient {row.patient_b} fit better the other way round"
        )
    typer.echo(
        f"{len(surprises)} labs forecast before they were learnt: {len(alarms)} perhaps tenfold, "
        f"{len(swaps)} pairs perhaps swapped. Ask for confirmation; nothing was changed."
    )


def _write(out: Path, found, board, shifts, swaps):
    """forecasts.csv, scoreboard.csv, surprises.csv, shifts_<column>.csv, swaps.csv, coverage_ and crps_<output>.png."""
    import pandas as pd

    from bayestwin.evaluation import kept_forecasts, pooled_surprise

    out.mkdir(parents=True, exist_ok=True)
    # a table without rows still says its columns
    forecasts = pd.DataFrame(found.forecasts, columns=None if found.forecasts else list(kept_forecasts.COLUMNS))
    surprises = pd.DataFrame(found.surprises, columns=None if found.surprises else list(pooled_surprise.COLUMNS))
    tables = {"forecasts": forecasts, "surprises": surprises, "scoreboard": board, "swaps": swaps}
    tables |= {f"shifts_{column}": table for column, table in shifts.items()}
    for name, table in tables.items():
        table.to_csv(out / f"{name}.csv", index=False)
    for output, part in board.groupby("output", sort=False):
        _draw(out / f"coverage_{output}.png", output, part)
        _draw_crps(out / f"crps_{output}.png", output, part)
    typer.echo(f"wrote tables and figures to {out}")


def _draw(path: Path, output: str, board):
    """Coverage of one output by months ahead, all treatments together."""
    from bayestwin.plots.calibration import plot_coverage_by_labs_learnt

    groups = []
    part = board[(board["treatment"] == "all") & (board["months_ahead"] != "all")]
    for ahead, rows in part.groupby("months_ahead", sort=False):
        scores = {
            int(row.score.rsplit("_", 1)[1]) / 100: (row.value, row.low, row.high)
            for row in rows.itertuples()
            if row.score.startswith("coverage")
        }
        groups.append((ahead, int(rows["labs"].max()), int(rows["patients"].max()), scores))
    ax = plot_coverage_by_labs_learnt(groups, probability=0.9, label=f"{output}: months ahead of the forecast")
    ax.figure.savefig(path, dpi=150)


def _crps_series(board) -> list[tuple]:
    """(treatment, rows of `plot_score_by_horizon`) of one output: all together, where there are more, and the DRAWN
    treatments of most labs."""
    part = board[(board["score"] == "crps") & (board["months_ahead"] != "all")]
    labs = part[part["treatment"] != "all"].groupby("treatment", sort=False)["labs"].sum()
    names = list(labs.sort_values(ascending=False, kind="stable").index[:DRAWN])
    columns = ["months_ahead", "value", "low", "high", "labs"]
    own = {name: list(rows[columns].itertuples(False, None)) for name, rows in part.groupby("treatment", sort=False)}
    return [*([("all treatments", own["all"])] if len(labs) > 1 else []), *((name, own[name]) for name in names)]


def _draw_crps(path: Path, output: str, board):
    """CRPS of one output by months ahead, a line per treatment."""
    from bayestwin.plots import plot_score_by_horizon

    scale = board.loc[board["score"] == "crps", "scale"].iloc[0]
    label = f"{output}: months ahead of the forecast"
    ax = plot_score_by_horizon(_crps_series(board), score="CRPS", scale=scale, probability=0.9, label=label)
    ax.figure.savefig(path, dpi=150)
