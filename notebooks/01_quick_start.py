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
# # Quick start: from a population to one patient's forecast
#
# Twelve simulated patients took theophylline. We fit a population to eleven of them, follow the twelfth sample by
# sample, and ask what a second dose would do. The same five words work for every model:
# `read_records`, `fit_population`, `start_twin`, `update_twin`, `forecast`. Research use only.
#
# Set `BAYESTWIN_FAST=1` for short chains (the tests do); the assertion at the end holds either way.

# %%
import os
from dataclasses import replace

import numpy as np

import bayestwin as bt
from bayestwin.jobs.shipped_data import shipped_data

FAST = os.environ.get("BAYESTWIN_FAST") == "1"

# %% [markdown]
# ## A model is one file, read like a methods section

# %%
model = bt.load_model("theophylline")
print(model)

# %% [markdown]
# ## Records: good rows go on, bad rows are refused with a reason

# %%
reading = bt.read_records(
    model.record_schema(), event_table=shipped_data("theophylline_simulated") / "theophylline_simulated.csv"
)
print(reading.summary())
everybody = list(reading.cohort)
newcomer, eleven = everybody[-1], bt.Cohort(tuple(everybody[:-1]))

# %% [markdown]
# ## The population: NUTS, with diagnostics that pass or fail with reasons

# %%
population = bt.fit_population(
    model, eleven, random_seed=1, chains=2 if FAST else 4, warmup=60 if FAST else 400, draws=60 if FAST else 500
)
print(population.diagnostics)
print(population.summary().round(3))

# %% [markdown]
# ## One patient, lab by lab
#
# Before each sample is learnt the twin says what it expects. `info.verdict` says whether the update may be believed.

# %%
twin = bt.start_twin(
    population,
    newcomer.with_labs(()),
    particles=800 if FAST else 4000,
    islands=4,
    population_draws=100 if FAST else 400,
    random_seed=2,
    accept_failed_fit=FAST,  # sixty draws a chain are too few for the diagnostics: else no twin would be started
)
expected = []
for seen in range(1, len(newcomer.labs) + 1):
    twin, info = bt.update_twin(twin, newcomer.with_labs(newcomer.labs[:seen]), random_seed=2, population=population)
    lab = info.surprise[0]
    expected.append(lab)
    print(
        f"{lab.time:6.2f} h   expected {lab.quantiles[0.5]:5.2f} "
        f"({lab.quantiles[0.05]:.2f} to {lab.quantiles[0.95]:.2f}) mg/L, "
        f"measured {lab.value:5.2f}   {info.path}, {info.verdict}"
    )

# %% [markdown]
# ## The future under another dose

# %%
prognosis = bt.forecast(twin, {"second dose": bt.Regimen.single("320 mg", route="oral")}, horizon=24.0, random_seed=3)
course = prognosis.row("second dose").courses[0]
peak = int(np.argmax(course.quantiles[3]))
print(
    f"highest median concentration {course.quantiles[3, peak]:.1f} mg/L at {course.times[peak]:.1f} h, "
    f"80 % range {course.quantiles[1, peak]:.1f} to {course.quantiles[5, peak]:.1f}"
)

# %% [markdown]
# ## Did it hold?
#
# The labs narrowed the forecast, most samples fell inside what was expected before they were learnt, and the twin
# rebuilt from the whole record at once agrees with the one that learnt lab by lab.

# %%
inside = np.mean([lab.quantiles[0.025] <= lab.value <= lab.quantiles[0.975] for lab in expected])
rebuilt, _ = bt.rebuild_twin(
    population,
    replace(newcomer),
    particles=800 if FAST else 4000,
    islands=4,
    population_draws=100 if FAST else 400,
    random_seed=4,
)
for one, other in zip(twin.parameter_table(), rebuilt.parameter_table()):
    print(
        one["parameter"], round(one["mean"], 3), "against", round(other["mean"], 3), "posterior SD", round(one["sd"], 3)
    )
    assert abs(one["mean"] - other["mean"]) < (1.0 if FAST else 0.4) * one["sd"]
assert twin.info.verdict == "PASS"
assert inside >= 0.7
assert expected[-1].sd < expected[4].sd
