"""The scoreboard of a store: forecasts set beside later labs; tenfold, drift and swaps named; the command."""

import shutil
import sqlite3
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from level_model import as_population
from scipy.stats import binomtest, norm
from typer.testing import CliRunner

from bayestwin.cli import app
from bayestwin.cli.scoreboard_command import _crps_series, _print_shifts, _write
from bayestwin.evaluation.kept_forecasts import scoreboard as board_of
from bayestwin.evaluation.pooled_surprise import swapped_samples
from bayestwin.evaluation.scores import holm
from bayestwin.jobs import move_patient, scoreboard
from bayestwin.jobs.ask_store import history
from bayestwin.jobs.basis import keep_population, load_basis
from bayestwin.jobs.move_patient import Twins
from bayestwin.jobs.patient_report import held_so_far, track_record
from bayestwin.jobs.patient_rows import record_of
from bayestwin.jobs.refresh import refresh
from bayestwin.jobs.run_log import RunLog
from bayestwin.jobs.scoreboard import gather, shifts
from bayestwin.store.items import current
from bayestwin.store.opening import open_store

QUIET = RunLog(quiet=True)
HEAD = "patient,time,output,value,unit,lab\n"
ON_DRUG = "patient,time,event,value\n" + "".join(f"S-{k},0,line_of_therapy,drug\n" for k in range(3))


@pytest.fixture(scope="module")
def place(empty_store, tmp_path_factory):
    """Three patients on the drug; three labs each, then one more each, of which one is tenfold."""
    folder = tmp_path_factory.mktemp("board") / "s"
    shutil.copytree(empty_store, folder)
    store = open_store(str(folder / "s.db"))
    first = [f"S-{k},{t},m_protein,{12 + 0.3 * k + t / 10},g/L,north" for k in range(3) for t in (1, 2, 3)]
    (folder / "labs.csv").write_text(HEAD + "\n".join(first) + "\n")
    (folder / "events.csv").write_text(ON_DRUG)
    refresh(store, {"labs": folder / "labs.csv", "events": folder / "events.csv"}, log=QUIET)
    more = ["S-0,20,m_protein,12.4,g/L,north", "S-1,20,m_protein,12.8,g/L,south", "S-2,20,m_protein,1.26,g/L,south"]
    (folder / "more.csv").write_text(HEAD + "\n".join(more) + "\n")
    refresh(store, {"labs": folder / "more.csv"}, log=QUIET)
    return folder, store


def test_every_published_forecast_is_scored_against_the_labs_that_came_later(place):
    _, store = place
    found = gather(store)
    assert not found.problems and found.published >= 5
    first = [row for row in found.forecasts if row["forecast_at"] == 3.0]
    assert sorted((row["patient"], row["time"], row["treatment"]) for row in first) == [
        (f"S-{k}", 20.0, "drug") for k in range(3)
    ]
    held = {row["patient"]: row["low_80"] <= row["observed"] <= row["high_80"] for row in first}
    assert held["S-0"] and held["S-1"] and not held["S-2"]


def test_surprises_come_with_laboratory_and_day_of_storing(place):
    _, store = place
    rows = {(row["patient"], row["time"]): row for row in gather(store).surprises}
    assert rows[("S-1", 20.0)]["laboratory"] == "south" and len(rows[("S-1", 20.0)]["batch"]) == 10


def test_the_command_prints_the_board_and_writes_its_tables(place, tmp_path):
    folder, _ = place
    answer = CliRunner().invoke(app, ["scoreboard", "--store", str(folder / "s.db"), "--out", str(tmp_path / "out")])
    assert answer.exit_code == 0, answer.output
    assert (
        "coverage_80" in answer.output and "patient S-2: m_protein at 20 was 1.26, ten times too low?" in answer.output
    )
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"forecasts.csv", "scoreboard.csv", "surprises.csv", "shifts_laboratory.csv", "swaps.csv"} <= names
    assert {"coverage_m_protein.png", "crps_m_protein.png"} <= names
    assert set(pd.read_csv(tmp_path / "out" / "scoreboard.csv")["score"]) >= {"coverage_80", "crps"}
    for column in ("hospital", "pit", "batch", "patient"):
        wrong = CliRunner().invoke(app, ["scoreboard", "--store", str(folder / "s.db"), "--by", column])
        assert wrong.exit_code == 2 and "choose one of laboratory, product." in wrong.output


def copied(place, folder):
    """A store of its own, as `place` left it."""
    shutil.copytree(place[0], folder / "s")
    return open_store(str(folder / "s" / "s.db"))


def taken_in(store, folder, *rows, head=HEAD):
    """The newest outcome of the first row's patient after a refresh with these rows."""
    (folder / "newer.csv").write_text(head + "\n".join(rows) + "\n")
    refresh(store, {"labs": folder / "newer.csv"}, log=QUIET)
    return history(store, rows[0].split(",")[0])[-1]


def test_a_corrected_laboratory_error_is_no_miss_of_the_forecast_before_it(place, tmp_path):
    store = copied(place, tmp_path)
    twins, known = Twins(store, load_basis(store)), HEAD.replace("unit,lab", "unit,lab,known_time,status")

    def record():
        with store.reading() as connection:
            return record_of("S-2", current(connection, ["S-2"])["S-2"])

    published = [o for o in history(store, "S-2") if o.status == "published"]
    assert [o.facts["inside_80"] for o in published] == [[0, 0], [0, 1]]
    assert held_so_far(twins, published, record()) == (0, 1)
    newest = taken_in(store, tmp_path, "S-2,20,m_protein,12.6,g/L,south,20.5,corrected", head=known)
    published = [o for o in history(store, "S-2") if o.status == "published"]
    assert newest.facts["inside_80"] == [0, 0] and held_so_far(twins, published, record()) == (1, 1)
    old = [replace(o, facts={k: v for k, v in o.facts.items() if k != "scored_80"}) for o in published]
    assert held_so_far(twins, old, record()) == (0, 1)  # old stores kept their number alone
    store.files.path(published[0].objects["prognosis"], ".nc").write_bytes(b"nothing")
    assert held_so_far(twins, published, record()) == (0, 0)
    assert held_so_far(twins, published, replace(record(), labs=())) == (0, 0)  # retracted


def test_a_newer_population_keeps_what_was_expected_of_every_lab(place, tmp_path, population, level_folder):
    """Of old labs by the twins of the time, of a lab that comes with it by the last of them."""
    store = copied(place, tmp_path)
    before = {(row["patient"], row["time"]): row["pit"] for row in gather(store).surprises}
    draws = {name: values.values.reshape(-1) + 0.01 for name, values in population.posterior.data_vars.items()}
    newer = as_population(population.model, draws)
    newer.tree.attrs.update({k: v for k, v in population.tree.attrs.items() if k not in newer.tree.attrs})
    keep_population(store, newer, model_text=str(level_folder))
    outcome = taken_in(store, tmp_path, "S-1,21,m_protein,99,g/L,south")
    assert outcome.facts["path"] == "start" and outcome.facts["alarms"] == ["m_protein at 21: ten times too high?"]
    assert outcome.facts["inside_80"] == [0, 1]
    after = {(row["patient"], row["time"]): row for row in gather(store).surprises}
    assert after.keys() == before.keys() | {("S-1", 21.0)}
    assert all(after[place]["pit"] == pit for place, pit in before.items())


def test_the_lab_that_an_update_was_held_for_is_on_the_scoreboard_as_long_as_it_stands(place, tmp_path, monkeypatch):
    store, update = copied(place, tmp_path), move_patient.update_twin

    def withheld(*given, **how):
        twin, info = update(*given, **how)
        info = replace(info, verdict="WITHHELD", reasons=("islands disagree",))
        return replace(twin, history=(*twin.history[:-1], info)), info

    monkeypatch.setattr(move_patient, "update_twin", withheld)
    outcome = taken_in(store, tmp_path, "S-1,21,m_protein,99,g/L,south")
    assert outcome.status == "held" and "twin" not in outcome.objects
    (row,) = [row for row in gather(store).surprises if row["time"] == 21.0]
    assert (row["patient"], row["observed"], row["alarm"]) == ("S-1", 99.0, "ten times too high")
    assert row["laboratory"] == "south" and len(row["batch"]) == 10
    known = HEAD.replace("unit,lab", "unit,lab,known_time,status")
    taken_in(store, tmp_path, "S-1,21,m_protein,12.8,g/L,south,21.5,corrected", head=known)
    assert [row["observed"] for row in gather(store).surprises if row["time"] == 21.0] == [12.8]


def test_a_forecast_that_cannot_be_read_is_told_and_the_rest_goes_on(place, tmp_path):
    folder, _ = place
    shutil.copytree(folder, tmp_path / "s")
    store = open_store(str(tmp_path / "s" / "s.db"))
    whole = gather(store)
    damaged = history(store, "S-0")[0].objects["prognosis"]
    store.files.path(damaged, ".nc").write_bytes(b"nothing")
    found = gather(store)
    assert len(found.problems) == 1 and "patient S-0: a forecast is left out" in found.problems[0]
    assert len(found.forecasts) == len(whole.forecasts) - 1 and len(found.surprises) == len(whole.surprises)
    assert found.published == whole.published - 1


@pytest.mark.parametrize(("table", "column"), [("record_items", "body"), ("outcomes", "facts")])
def test_a_damaged_record_is_told_by_its_mark_and_the_rest_goes_on(place, tmp_path, table, column, monkeypatch):
    folder, _ = place
    shutil.copytree(folder, tmp_path / "s")
    raw = sqlite3.connect(tmp_path / "s" / "s.db")
    raw.execute(f"DROP TRIGGER {table}_no_update")
    raw.execute(f"UPDATE {table} SET {column} = '{{' WHERE subject = 'S-0'")
    raw.commit()
    raw.close()
    monkeypatch.setattr(scoreboard, "public_name", lambda store, key: f"mark of {key}")
    found = gather(open_store(str(tmp_path / "s" / "s.db")))
    assert len(found.problems) == 1 and found.problems[0].startswith("patient mark of S-0: this patient is left out: ")
    assert {row["patient"] for row in found.forecasts + found.surprises} == {"mark of S-1", "mark of S-2"}


def test_shifts_by_several_columns_are_one_family_and_come_with_their_interval(capsys):
    rng, rows = np.random.default_rng(1), []
    for k in range(24):
        word, mean = ("a", "b", "c")[k % 3], rng.normal(3.0, 1.0)
        y = mean + 0.3 * rng.standard_normal(3) + (0.5 if word == "a" else 0.0)
        rows += [
            {"patient": f"P-{k}", "output": "y", "time": float(j), "laboratory": "n", "product": word, "hospital": word}
            | {"observed": float(np.exp(one)), "scale": "ln", "mean": mean, "sd": 0.3}
            | {"pit": float(norm.cdf((one - mean) / 0.3))}
            for j, one in enumerate(y)
        ]
    together, alone = shifts(rows, ("product", "hospital"), random_seed=1), shifts(rows, ["product"], random_seed=1)
    assert list(together["product"]["p"]) == list(alone["product"]["p"])
    assert together["product"]["p_adjusted"][0] == pytest.approx(2 * alone["product"]["p_adjusted"][0])
    every = np.concatenate([table["p"] for table in together.values()])
    assert np.concatenate([table["p_adjusted"] for table in together.values()]) == pytest.approx(holm(every))
    _print_shifts(together, asked=())
    said = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("product a: y was higher"))
    low, high = np.exp(together["product"].loc[0, ["low", "high"]].to_numpy(float))
    assert f"({low:.2f} to {high:.2f})" in said and low < np.exp(0.5) < high
    assert shifts([], ("product",), random_seed=1)["product"].empty


def test_crps_is_drawn_by_treatment_beside_all_together_where_there_are_more():
    """Horizons in their order, which the first line has all of."""
    ahead, given = {"0 to 1": 10.0, "1 to 3": 60.0, "3 to 6": 120.0}, {"a": ("1 to 3", "3 to 6"), "b": ("0 to 1",)}
    rows = [
        {"patient": f"P-{k}", "lab_id": f"{name}-{when}", "output": "y", "time": ahead[when], "horizon": ahead[when]}
        | {"treatment": name, "scale": "ln", "crps": 0.1 + k / 10, "pit": 0.5}
        for name, times in given.items()
        for when in times
        for k in range(3)
    ]
    several, one = (_crps_series(board_of(part, random_seed=1)) for part in (rows, rows[:6]))
    assert [(name, [row[0] for row in own]) for name, own in several] == [
        ("all treatments", list(ahead)), ("a", ["1 to 3", "3 to 6"]), ("b", ["0 to 1"]),
    ]  # fmt: skip
    assert [name for name, _ in one] == ["a"] and one[0][1][0][1] == pytest.approx(0.2) and one[0][1][0][4] == 3


def test_a_report_says_how_the_forecasts_of_this_patient_held(place):
    _, store = place
    assert [o.facts["inside_80"] for o in history(store, "S-0")] == [[0, 0], [1, 1]]
    known = track_record(7, 9)
    wilson = binomtest(7, 9).proportion_ci(confidence_level=0.9, method="wilson")
    assert known.held_range == pytest.approx((wilson.low, wilson.high), abs=1e-4) and known.held == 7 / 9
    assert track_record(4, 4).n is None and track_record(5, 5).held_range[1] == pytest.approx(1.0)


def test_a_store_without_later_labs_says_that_there_is_nothing_to_score(empty_store):
    answer = CliRunner().invoke(app, ["scoreboard", "--store", str(empty_store / "s.db")])
    assert answer.exit_code == 3 and "Nothing to score" in answer.output


def test_a_table_without_rows_is_written_with_its_columns(tmp_path):
    board = pd.DataFrame(columns=["output", "treatment", "months_ahead", "score", "value"])
    _write(tmp_path, SimpleNamespace(forecasts=[], surprises=[]), board, {}, swapped_samples([]))
    for table, column in (("forecasts", "crps"), ("surprises", "pit"), ("swaps", "log_bayes_factor")):
        found = pd.read_csv(tmp_path / f"{table}.csv")
        assert found.empty and column in found
