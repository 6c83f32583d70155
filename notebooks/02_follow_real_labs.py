# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Follow real labs: every forecast made before its lab was seen
#
# Men under intermittent androgen deprivation: treated for some months, paused until PSA has come back, and so on. A
# population is fitted to most of them. The others are replayed lab by lab: the twin says what it expects, then learns
# what came, beside rivals that know no mechanism. At the end the future of one man under three ways to go on.
# Research use only.
#
# With the public data of the Canadian study (Bruchovsky 2006, 2007) in `$BAYESTWIN_SHARED_DATA/psa_intermittent` the
# notebook follows real men; elsewhere a simulated cohort that ships with bayestwin, and says so. `BAYESTWIN_FAST=1`
# takes few men, few optimisation steps and few particles: that shows that everything runs, not how good it is.

# %%
import importlib.util
import os
from pathlib import Path

import pandas as pd

import bayestwin as bt
from bayestwin.dosing import Policy, Rule, Schedule
from bayestwin.evaluation.comparison import compare_forecasters
from bayestwin.evaluation.rivals import fit_rivals
from bayestwin.evaluation.score_tables import score_table
from bayestwin.jobs.replay import replay_cohort
from bayestwin.jobs.shipped_data import shipped_data
from bayestwin.population import approximate_population

FAST = os.environ.get("BAYESTWIN_FAST") == "1"
SIZES = {"particles": 200 if FAST else 1000, "islands": 4 if FAST else 8, "population_draws": 50 if FAST else 200}

# %% [markdown]
# ## The men

# %%
model = bt.load_model("psa_intermittent")
found = Path(os.environ.get("BAYESTWIN_SHARED_DATA", "../shared/data")) / "psa_intermittent" / "psa_intermittent.csv"
REAL = found.is_file() and not FAST
if REAL:
    spec = importlib.util.spec_from_file_location("prepare", Path(model.folder) / "prepare.py")
    prepare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepare)
    files = prepare.tables(pd.read_csv(found))
else:
    print("The public data are not at hand (or BAYESTWIN_FAST is set): SIMULATED men are followed instead.")
    files = {name: shipped_data("psa_simulated") / f"{name}.csv" for name in ("patients", "labs", "events")}
reading = bt.read_records(model.record_schema(), **files)
print(reading.summary())

# %%
keys = sorted(reading.cohort.keys)
held_out = keys[2::4][: 1 if FAST else 4]
rest = [key for key in keys if key not in keys[2::4]][: 4 if FAST else None]
training, others = (bt.Cohort(tuple(reading.cohort[key] for key in part)) for part in (rest, held_out))
if FAST:  # PSA of the first year and a half
    cut = [r.with_labs([x for x in r.labs if x.output == "psa" and x.time <= 560]) for r in (*training, *others)]
    training, others = bt.Cohort(tuple(cut[:-1])), bt.Cohort(tuple(cut[-1:]))
print(f"{len(training)} men to learn from, {len(others)} to follow: {', '.join(others.keys)}")

# %% [markdown]
# ## The population, from the others
#
# A variational first look, labelled approximate wherever it goes.

# %%
population = approximate_population(
    model, training, random_seed=1, steps=100 if FAST else 4000, guide="by_patient", progress=not FAST
)
print(population.diagnostics)
print(population.summary()[["mean", "sd"]].round(3))

# %% [markdown]
# ## Lab by lab, beside rivals on the same labs

# %%
rivals = fit_rivals(model, population, training, names=("last_value", "gaussian_process"))
replayed = replay_cohort(population, others, random_seed=2, rivals=tuple(rivals.values()), progress=not FAST, **SIZES)
assert not replayed.failed, replayed.failed
twin_rows, rival_rows = replayed.frame(), replayed.rivals_frame()
psa = twin_rows["output"] == "psa"
print(twin_rows[psa][["patient", "time", "treatment", "observed", "q05", "q50", "q95", "pit", "n_seen"]].head(12))

# %%
beside = {name: part.drop(columns="forecaster") for name, part in rival_rows.groupby("forecaster", sort=False)}
beside = {name: part[part["output"] == "psa"] for name, part in beside.items()}
first = twin_rows[psa].groupby("patient")["known_time"].transform("min")
after_first = twin_rows[psa][twin_rows[psa]["known_time"] > first]  # before any PSA a rival has nothing to carry
comparison = compare_forecasters(after_first, beside, random_seed=3)
print(comparison.headline)
table = score_table(after_first, random_seed=3)
print(table[(table["split"] == "labs_learnt") & table["score"].isin(["crps", "coverage_80"])].to_string(index=False))

# %% [markdown]
# ## What was forecast, and what came

# %%
import matplotlib.pyplot as plt

from bayestwin.plots.forecast_scores import plot_forecasts

QUANTILES = ("q05", "q10", "q25", "q50", "q75", "q90", "q95")
own = twin_rows[psa & (twin_rows["patient"] == others.keys[0])]
labs = [
    {"time": row["time"], "observed": row["observed"], "limit_flag": row["limit_flag"], "treatment": row["treatment"]}
    | {"quantiles": [row[q] for q in QUANTILES], "passed": row["verdict"] == "PASS"}
    for _, row in own.iterrows()
]
ax = plot_forecasts(labs, scale="log", label="PSA", unit="ng/mL", time_label="day")
if os.environ.get("BAYESTWIN_FIGURES"):
    ax.figure.savefig(Path(os.environ["BAYESTWIN_FIGURES"]) / "02_follow_real_labs.png", dpi=150)
plt.close(ax.figure)

# %% [markdown]
# ## Three ways to go on
#
# From the first PSA after half a year: continue, pause for half a year, or pause and resume when PSA is seen at
# 10 ng/mL or above. In the last the labs of each simulated future decide, so that time off treatment is forecast too.

# %%
record = others[others.keys[0]]
day = min(lab.time for lab in record.labs if lab.output == "psa" and lab.time >= 180)
today = record.known_at(day)
twin = bt.start_twin(population, today, random_seed=4, **SIZES)
print(twin.info)
prognosis = bt.forecast(
    twin,
    {
        "continue": "androgen_deprivation",
        "pause for half a year": Schedule((("0 day", "pause"), ("6 month", "androgen_deprivation"))),
        "pause, resume at 10 ng/mL": Policy(
            (
                Rule("androgen_deprivation", "psa", above=10.0, while_on="pause"),
                Rule("pause", "psa", below=4.0, while_on="androgen_deprivation", after="36 week"),
            ),
            start="pause",
        ),
    },
    horizon_months=24,
    random_seed=5,
)
print(prognosis)

# %% [markdown]
# ## Did it hold?
#
# A command does the same for whole folders: `bayestwin replay --population pop.nc --patients ... --labs ... --rivals`.
# Cross-validated figures on all 33 men stand in `docs/validation/psa_intermittent.md`.

# %%
assert (after_first["crps"] >= 0).all() and after_first["pit"].between(0, 1).all()
assert len(after_first) == len(beside["last_value"][beside["last_value"]["known_time"] > 0])
inside = after_first["pit"].between(0.05, 0.95).mean()
print(f"{inside:.0%} of {len(after_first)} PSA inside the 90 % interval forecast for them")
assert twin.info.verdict == "PASS"
assert 0.6 <= inside
