"""Dosing edge cases against exact output of NONMEM 7.4.3: infusions, repeats, lags, steady states, resets.

Run `python tests/validation/nmtest.py --write docs/validation/nmtest.md`. The data are nmtest of the R package
nlmixr2data: one compartment, first-order absorption, ka 1.5 /h, CL 1.1 L/h, V 20 L, cp = 1000 central / V.

NONMEM's control stream for these data says F2 = BIOAV and ALAG2 = LAGT, for compartment 2 only. Bayestwin reads both
columns per row, whatever the compartment. Doses into compartment 1 that carry a BIOAV other than 1 or a LAGT other
than 0 are therefore compared twice: as they stand, and with the neutral value that NONMEM used for them.
"""

import argparse
import os
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

VALUES = {"ka": 1.5, "CL": 1.1, "V": 20.0}
RELATIVE, ABSOLUTE, NEAR_ZERO = 1e-4, 1e-3, 10.0  # cp in ug/L, printed with five digits
LONG_LAG = (
    "steady state with a lag longer than the interval ({lag:g} h and {ii:g} h), until {until:g} h: NONMEM advances by "
    "II - ALAG, negative here, and so runs the equations backwards with the infusion on (smallest cp {low:g}); "
    "bayestwin keeps the implied doses that are on their way"
)
DEPOT = (
    "doses into compartment 1 with a BIOAV: NONMEM's control stream applies the column to compartment 2 only; with "
    "BIOAV 1 on those rows both agree (next section)"
)
SOLVERS = ("matrix exponential", "adaptive")


def data_file() -> Path:
    """The shared file; it is never committed."""
    root = Path(__file__).resolve().parents[2]
    folder = os.environ.get("BAYESTWIN_SHARED_DATA", root.parent / "shared" / "data")
    return Path(folder) / "nmtest" / "nmtest.csv"


def solved(table, solver: str, *, as_nonmem: bool):
    """The table's observation rows with a column `found`: cp by bayestwin."""
    from bayestwin.specification import load_model

    if as_nonmem:
        table = table.copy()
        table.loc[table.cmt == 1, ["lagt", "bioav"]] = 0.0, 1.0
    return _outputs(table, load_model("one_compartment"), VALUES, solver)


def _outputs(table, model, values, solver: str):
    """The table's observation rows with a column `found`."""
    from bayestwin.records.schedule import read_schedule
    from bayestwin.specification import Adaptive

    if solver == "adaptive":
        model = replace(model, steps=Adaptive(), source_hash="")
    schedule = read_schedule(table, model.record_schema())
    assert not schedule.refusals, schedule.refusals[0]
    found = {}
    for key, doses in schedule.doses.items():
        asked = [one for one in schedule.asked if one.id == key]
        times = tuple((one.time, one.row) for one in asked)
        outputs = _simulated(model, tuple(values.items()), tuple(doses), times)
        found.update({one.row: 1000.0 * value for one, (value,) in zip(asked, outputs)})
    seen = table[table.evid == 0].copy()
    seen["found"] = [found[row] for row in sorted(found)]
    return seen


@cache
def _simulated(model, values, doses, asked):
    """Outputs of one id; most have no column that NONMEM used otherwise, and are solved once for both ways."""
    from bayestwin.individual.simulate import simulate_outputs

    return simulate_outputs(model, dict(values), doses, asked)


def solved_by_parameters(table, solver: str):
    """`solved` for the ids with doses into compartment 2, the four columns being parameters as in the control stream.

    ALAG2 = LAGT, F2 = BIOAV, R2 = RAT2, D2 = DUR2: each is one number in every id, so the rows lose the columns.
    """
    found = []
    for key, mine in table.groupby("id", sort=False):
        doses = mine[mine.evid.isin([1, 4]) & (mine.cmt == 2)]
        if not len(doses):
            continue
        said = {"lag": doses.lagt, "share": doses.bioav, "rate": doses.rat2, "duration": doses.dur2}
        values = {name: column[column > 0].unique() for name, column in said.items()}
        assert all(len(numbers) <= 1 for numbers in values.values()), key
        values = {name: float(numbers[0]) for name, numbers in values.items() if len(numbers)}
        rows = mine.assign(lagt=0.0, bioav=1.0, rat2=0.0, dur2=0.0)
        found.append(_outputs(rows, with_parameters(tuple(values)), VALUES | values, solver))
    return pd.concat(found)


@lru_cache
def with_parameters(names: tuple[str, ...]):
    """The model with these parameters for doses into the central compartment."""
    from bayestwin.specification import Dosing, Fixed, Parameter, load_model

    plain = load_model("one_compartment")
    more = (Parameter(name, unit="", scale="log", typical=Fixed(value=1.0)) for name in names)
    said = {"bioavailability" if name == "share" else name: name for name in names}
    dosing = (Dosing("central", **said),)
    return replace(plain, parameters=(*plain.parameters, *more), dosing=dosing, source_hash="")


def differences(seen):
    """Per id: largest error, and how many rows are further off than allowed, up to which time."""
    error = np.abs(seen.found - seen.cp)
    relative = np.where(
        np.abs(seen.cp) < NEAR_ZERO, error / (ABSOLUTE / RELATIVE), error / np.abs(seen.cp).clip(lower=NEAR_ZERO)
    )
    seen = seen.assign(relative=relative, off=relative > RELATIVE)
    rows = {}
    for key, mine in seen.groupby("id", sort=False):
        rows[int(key)] = (
            float(mine.relative.max()),
            int(mine.off.sum()),
            float(mine.time[mine.off].max()) if mine.off.any() else None,
        )
    return rows


def reasons(table) -> dict[int, str]:
    """Ids in which a difference is expected, and why; from the doses alone, not from the results."""
    found = {}
    for key, mine in table[table.evid.isin([1, 4])].groupby("id", sort=False):
        long_lag = mine[(mine.ss > 0) & (mine.lagt > mine.ii)]
        if len(long_lag):
            until = float((long_lag.time + long_lag.lagt - long_lag.ii).max())
            lag, interval = long_lag.lagt.iloc[0], long_lag.ii.iloc[0]
            found[int(key)] = LONG_LAG.format(lag=lag, ii=interval, until=until, low=table[table.id == key].cp.min())
        elif ((mine.cmt == 1) & ((mine.bioav != 1) | (mine.lagt != 0))).any():
            found[int(key)] = DEPOT
    return found


def page(table) -> str:
    """The validation page."""
    expected = reasons(table)
    literal, control = ({s: differences(solved(table, s, as_nonmem=way)) for s in SOLVERS} for way in (False, True))
    ids = list(literal[SOLVERS[0]])
    agree, same = ([key for key in ids if all(one[s][key][1] == 0 for s in SOLVERS)] for one in (literal, control))
    worst = ", ".join(f"{max(literal[s][key][0] for key in agree):.1e} ({s})" for s in SOLVERS)
    left = ", ".join(str(key) for key in ids if key not in same)
    said = differences(solved_by_parameters(table, SOLVERS[0]))
    fine = [key for key in said if said[key][1] == 0]
    rest = ", ".join(str(key) for key in said if key not in fine)
    lines = [
        "# Dosing edge cases against NONMEM 7.4.3",
        "",
        f"{len(ids)} dosing schedules, {int((table.evid == 0).sum())} concentrations",
        "(nmtest of the R package nlmixr2data, not in this repository). Made by",
        "`python tests/validation/nmtest.py --write docs/validation/nmtest.md`; `test_nmtest.py` beside it repeats it.",
        f"Allowed: {RELATIVE:g} relative (NONMEM printed five digits: up to 5e-5), {ABSOLUTE:g} absolute near zero.",
        "",
        f"**{len(agree)} ids agree** in every row; largest relative error {worst}.",
        f"{len(ids) - len(agree)} differ, for two reasons:",
        "",
        "| id | rows that differ | up to, h | largest error | reason |",
        "|---|---|---|---|---|",
    ]
    for key, (largest, count, until) in literal[SOLVERS[0]].items():
        if key not in agree:
            lines.append(f"| {key} | {count} | {until:g} | {largest:.2g} | {expected.get(key, 'NOT EXPLAINED')} |")
    lines += [
        "",
        "## With the columns as NONMEM's control stream used them",
        "",
        "`F2 = BIOAV`, `ALAG2 = LAGT`: neutral values on doses into compartment 1, as in",
        "`bayestwin simulate --lag-and-bioavailability-of central`.",
        f"{len(same)} of {len(ids)} ids agree in every row; left: {left} (lag longer than the interval).",
        "",
        "## With the columns as parameters of the model",
        "",
        '`Dosing("central", lag=, bioavailability=, rate=, duration=)`, parameters LAGT, BIOAV, RAT2 and DUR2;',
        f"matrix exponential. {len(said)} ids have doses into compartment 2, {len(fine)} agree in every row (largest",
        f"relative error {max(said[key][0] for key in fine):.1e}); left: {rest} (lag longer than the interval).",
        "",
        "## Largest relative error per id, as the file stands",
        "",
        "| id | " + " | ".join(SOLVERS) + " |",
        "|---|---|---|",
        *(
            f"| {key} | " + " | ".join(f"{literal[s][key][0]:.1e}" for s in SOLVERS) + " |"
            for key in literal[SOLVERS[0]]
        ),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    from bayestwin.jobs.compilation_cache import use_compilation_cache

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="where to write the page; else it is printed")
    arguments = parser.parse_args()
    use_compilation_cache()
    text = page(pd.read_csv(data_file()))
    arguments.write.write_text(text, encoding="utf-8") if arguments.write else print(text)
