"""The figures of the command `scores`: coverage, PIT, CRPS by horizon, rivals, one patient's forecasts."""

import re

PASS, ALL, TWIN = "PASS", "all", "twin"
LEVELS = (50, 80, 90)
SPLITS = {"treatment": "treatment", "horizon": "horizon", "labs_learnt": "labs learnt before"}


def draw_scores(out, table, frame, found, seed, patient):
    """The standing figures as PNG; one per output where outputs cannot share an axis."""
    from bayestwin import plots

    rows = PASS if (table["rows"] == PASS).any() else ALL
    shown, interval = table[table["rows"] == rows], {"probability": 0.9}
    kinds = [("passed", PASS), ("all forecasts", ALL)] if (frame["verdict"] != PASS).any() else [("", ALL)]
    series = [
        (label, _coverage(table[table["rows"] == kind])) for label, kind in kinds if (table["rows"] == kind).any()
    ]
    _save(plots.plot_coverage(series, **interval), out / "coverage.png")
    _save(_pit_figure(frame[frame["verdict"] == PASS] if rows == PASS else frame, seed), out / "pit.png")
    learnt = shown[(shown["split"] == "labs_learnt") & (shown["output"] == ALL)]
    groups = [
        (name, *part[["labs", "patients"]].max(), {level / 100: _of(part, f"coverage_{level}") for level in LEVELS})
        for name, part in learnt.groupby("group", sort=False)
    ]
    _save(plots.plot_coverage_by_labs_learnt(groups, **interval), out / "coverage_by_labs_learnt.png")
    several = frame["output"].nunique() > 1
    for output in shown.loc[shown["scale"].isin(["ln", "natural"]), "output"].unique():
        name = f"_{re.sub(r'[^A-Za-z0-9_-]', '_', output)}" if output != ALL else ""
        _save(
            _horizon_figure(shown[shown["output"] == output], found, output, rows), out / f"crps_by_horizon{name}.png"
        )
        if found is not None:
            _save(_forest(found, output), out / f"crps_differences{name}.png")
    for output, mine in frame.groupby("output", sort=False):
        key = patient if patient is not None else mine["patient"].value_counts().idxmax()
        own = mine[mine["patient"] == key]
        if len(own):
            name = re.sub(r"[^A-Za-z0-9_-]", "_", str(output)) if several else "patient"
            _save(_forecasts(own, output), out / f"forecasts_{name}.png")


def _coverage(table):
    whole = table[(table["split"] == "everything") & (table["output"] == ALL)]
    return [(level / 100, *_of(whole, f"coverage_{level}")) for level in LEVELS]


def _of(table, score):
    """value, low, high of one score."""
    return tuple(table.loc[table["score"] == score, ["value", "low", "high"]].iloc[0])


def _pit_figure(frame, seed):
    from bayestwin.evaluation.scores import ecdf_band, effective_labs, histogram_band
    from bayestwin.plots import plot_pit

    pit = frame["pit"].dropna()
    worth, bands = effective_labs(pit, frame.loc[pit.index, "patient"]), {}
    if worth == worth:  # one patient has no bands
        bands["histogram_band"] = histogram_band(worth, bins=10, probability=0.99)
        bands["ecdf_band"] = ecdf_band(worth, probability=0.99, random_seed=seed)
        bands["effective"] = worth
    return plot_pit(pit, probability=0.99, **bands)[0]


def _horizon_figure(table, found, output, rows):
    """CRPS of the twin by horizon, and of its best rival on the labs both have forecast."""
    from bayestwin.evaluation.comparison import best_rival
    from bayestwin.plots import plot_score_by_horizon

    mine = table[(table["split"] == "horizon") & (table["score"] == "crps")]
    series = [(TWIN, list(mine[["group", "value", "low", "high", "labs"]].itertuples(index=False, name=None)))]
    if found is not None:
        rival = best_rival(found.table, output)
        theirs = found.table.query("rival == @rival and rows == @rows and output == @output and split == 'horizon'")
        theirs = theirs.query("score == 'crps' and mean_over == 'labs'").assign(none=float("nan"))
        columns = ["group", "rival_score", "none", "none", "labs"]
        series.append((f"{rival} (labs of both)", list(theirs[columns].itertuples(index=False, name=None))))
    return plot_score_by_horizon(series, score="CRPS", scale=mine["scale"].iloc[0], probability=0.9)


def _forest(found, output):
    """Every rival over all labs, then the best one in each split."""
    from bayestwin.evaluation.comparison import best_rival
    from bayestwin.plots import plot_score_differences

    best = best_rival(found.table, output)
    table = found.table[(found.table["score"] == "crps") & (found.table["output"] == output)]
    table = table[table["rows"] == (PASS if (table["rows"] == PASS).any() else ALL)]
    columns, rows = ["difference", "low", "high", "labs", "patients"], []
    for over in ("labs", "patients"):
        mine = table[(table["split"] == "everything") & (table["mean_over"] == over)]
        rows += [
            (f"mean over {over}", rival, *values) for rival, values in zip(mine["rival"], mine[columns].to_numpy())
        ]
    own = table[(table["rival"] == best) & (table["mean_over"] == "labs")]
    for split, word in SPLITS.items():
        mine = own[own["split"] == split]
        if len(mine) > 1:
            rows += [(f"{best}, by {word}", g, *v) for g, v in zip(mine["group"], mine[columns].to_numpy())]
    rows = [(*row[:5], int(row[5]), int(row[6])) for row in rows]
    return plot_score_differences(rows, score="CRPS", scale=table["scale"].iloc[0], probability=0.9)


def _forecasts(own, output):
    from bayestwin.plots import plot_forecasts

    quantiles = ["q05", "q10", "q25", "q50", "q75", "q90", "q95"]
    labs = [
        {"time": row["time"], "observed": row["observed"], "limit_flag": row["limit_flag"]}
        | {"quantiles": row[quantiles].to_numpy(dtype=float), "treatment": row["treatment"]}
        | {"passed": row["verdict"] == PASS, "observed_to": row.get("observed_to")}
        for _, row in own.iterrows()
    ]
    scale = "log" if own["scale"].iloc[0] == "ln" else "linear"
    return plot_forecasts(labs, scale=scale, label=f"{output}, patient {own['patient'].iloc[0]}", time_label="time")


def _save(ax, path):
    from bayestwin.plots.style import quiet_style

    with quiet_style():
        ax.figure.savefig(path, dpi=200, metadata={"Software": None})
