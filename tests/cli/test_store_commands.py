"""The commands on a store: what they print, and exit codes that a scheduler can act on."""

import json
import shutil
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "jobs"))
sys.path.insert(0, str(Path(__file__).parents[1] / "twin"))

from level_model import as_population, level_draws, write_level_model
from level_store import labs_csv

from bayestwin.cli import app
from bayestwin.cli.store_commands import _main_chance
from bayestwin.jobs import refresh as refresh_module
from bayestwin.specification import load_model


def run(*words, code=0, **how):
    answer = CliRunner().invoke(app, [str(word) for word in words], terminal_width=200, **how)
    assert answer.exit_code == code, answer.output
    return answer


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """URL of a store of the level model, two patients refreshed; and the folder it lies in."""
    folder = tmp_path_factory.mktemp("store")
    model = write_level_model(folder / "level")
    population = as_population(load_model(model), level_draws())
    population.tree.attrs.update(
        method="variational", method_note="made up", verdict="approximate", diagnostics="MADE UP"
    )
    population.save(folder / "population.nc")
    url = str(folder / "s.db")
    made = run(
        *("store-population", "--store", url, "--population", folder / "population.nc", "--model", model),
        *("--particles", 800, "--population-draws", 50),
    )
    assert "now rests on <PopulationPosterior level" in made.stdout
    answer = run("refresh", "--store", url, "--labs", labs_csv(folder / "labs.csv", patients=2))
    assert answer.stdout.startswith("bayestwin refresh: 2 published, 0 held, 0 failed, 2 records changed")
    assert [json.loads(line)["event"] for line in answer.stderr.splitlines()][-1] == "done"
    return url, folder


def test_a_population_is_put_in_once_and_the_settings_of_a_store_stay(store):
    url, folder = store
    again = ("store-population", "--store", url, "--population", folder / "population.nc", "--model", folder / "level")
    answer = run(*again, "--seed", 9)
    assert "rests on this population already" in answer.stdout and "made with seed 1" in answer.stderr


def test_run_again_nothing_is_done_and_a_refused_row_is_exit_code_1(store, tmp_path):
    url, folder = store
    assert "0 published, 0 held, 0 failed" in run("refresh", "--store", url, "--labs", folder / "labs.csv").stdout
    assert "0 published" in run("refresh", "--store", url).stdout
    bad = labs_csv(tmp_path / "labs.csv", patients=2, more="P-1,9,m_protein,1000,g/L\n")
    assert "1 rows refused" in run("refresh", "--store", url, "--labs", bad, code=1).stdout


@pytest.mark.parametrize(
    ("came", "code"),
    [
        ({"counts": {"held": 1}, "died": 1, "known": 40, "problems": {"P-0": "the patient has died"}}, 1),
        ({"counts": {"held": 2}, "died": 1, "known": 40, "problems": {"P-1": "islands disagree"}}, 4),
        ({"counts": {"held": 1, "published": 1}, "known": 40, "problems": {"P-1": "islands disagree"}}, 1),
        ({"counts": {"failed": 5}, "known": 5, "problems": {"P-1": "damaged"}}, 3),
        ({"counts": {"failed": 5}, "patients": 5, "problems": {"P-1": "damaged"}}, 3),
        ({"counts": {"failed": 1}, "known": 40, "problems": {"P-1": "damaged"}}, 1),
        ({"counts": {"failed": 1}, "patients": 40, "problems": {"P-1": "damaged"}}, 1),
        ({"counts": {"failed": 4, "published": 1}, "known": 5, "problems": {"P-1": "damaged"}}, 1),
        ({"known": 5, "waiting": 1, "problems": {"P-1": "still due"}}, 1),
        ({"known": 5, "waiting": 1}, 0),  # held some nights ago, and nothing new
    ],
)
def test_the_exit_code_of_a_night(store, monkeypatch, came, code):
    counts = Counter(came.pop("counts", {}))
    monkeypatch.setattr(refresh_module, "refresh", lambda *_, **__: refresh_module.Refreshed(counts, **came))
    run("refresh", "--store", store[0], code=code)


def test_a_file_that_cannot_be_used_is_exit_code_3_and_named(store, tmp_path):
    url, _ = store
    (tmp_path / "labs.csv").write_text('patient,time,output,value,unit\n"P-1,1', encoding="utf-8")
    answer = run("refresh", "--store", url, "--labs", tmp_path / "labs.csv", code=3)
    assert "not well-formed CSV" in answer.stderr and "1 files unusable" in answer.stdout
    (tmp_path / "other.csv").write_text("who,what\n", encoding="utf-8")
    assert "the header fits none of" in run("refresh", "--store", url, "--labs", tmp_path / "other.csv", code=2).stderr


def test_one_damaged_file_of_labs_on_a_night_without_news_is_exit_code_1(store, tmp_path):
    url, folder = store
    shutil.copy(folder / "labs.csv", tmp_path / "labs_1.csv")
    (tmp_path / "labs_2.csv").write_text('patient,time,output,value,unit\n"P-1,1', encoding="utf-8")
    answer = run("refresh", "--store", url, "--labs", tmp_path, code=1)
    assert "0 published" in answer.stdout and "1 files unusable" in answer.stdout and "labs_2.csv" in answer.stderr


def test_what_was_believed_is_printed_or_written_byte_for_byte(store, tmp_path):
    url, folder = store
    published = {path.read_bytes() for path in (folder / "s.db.files" / "reports").glob("*.json")}
    answer = run("believed", "P-0", "--store", url, "--on", "2100-01-01")
    assert answer.stdout_bytes in published and "stored 20" in answer.stderr
    run("believed", "P-0", "--store", url, "--on", "2100-01-01", "--what", "report", "--out", tmp_path / "r.html")
    assert (tmp_path / "r.html").read_bytes().startswith(b"<!")
    assert "nothing had been published" in run("believed", "P-0", "--store", url, "--on", "2001-01-01", code=3).stderr
    assert (
        "choose one of report"
        in run("believed", "P-0", "--store", url, "--on", "2100-01-01", "--what", "x", code=2).stderr
    )
    assert "published  20" in run("history", "P-0", "--store", url).stdout


def test_a_chance_in_a_patients_history_stands_with_its_monte_carlo_error_where_it_was_kept():
    facts = {"treatment": "ide_cel", "chance": 0.76, "chances": {"ide_cel": [0.76, 0.6, 0.9, 0.018]}}
    assert _main_chance(facts) == "ide_cel: 76 in 100 at 12 months (Monte Carlo error 1.8)"
    assert _main_chance({**facts, "chances": {}}) == "ide_cel: 76 in 100 at 12 months"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("believed", "P-0", "--on", "x"), "this is not a date (found 'x')"),
        (("believed", "P-0", "--on", "2026-02-30"), "this is not a date"),
        (("history", "\udcff"), "PATIENT is not UTF-8 text"),
        (("history", " "), "PATIENT is empty or holds control characters"),
        (("erase", "P\x00-0", "--yes"), "PATIENT is empty or holds control characters"),
        (("verify-store", "--store", "mysql://u:secret@h/d"), "this kind of database is not known"),
        (("verify-store", "--store", "postgresql://h:port/d"), "this is no address of a store"),
        (("store-migrate", "--store", "://"), "this is no address of a store"),
        (("refresh", "--store", "sqlite:///s.db?mode=ro"), "options of SQLite are not taken"),
        (("store-population", "--files", "elsewhere"), "the files of this store lie in another folder"),
        (("store-population", "--encrypt"), "this store was made without encryption"),
        (("store-population", "--particles", 400), "--particles 400: every report would be withheld, or might be"),
        (("store-population", "--population-draws", 101), "--population-draws 101: this posterior holds 100 draws"),
    ],
)
def test_a_mistake_in_the_command_is_exit_code_2_and_changes_nothing(store, words, said):
    url, folder = store
    before = rows_of(url)
    words = words if "--store" in words else (*words, "--store", url)
    if words[0] == "store-population":
        words = (*words, "--population", folder / "population.nc", "--model", folder / "level")
    answer = run(*words, code=2)
    assert said in " ".join(answer.output.replace("│", " ").split()) and "secret" not in answer.output
    assert rows_of(url) == before


@pytest.mark.parametrize("key", ["P\u00a017", "A\u202eB", "tab\there"])
def test_a_key_that_files_may_not_bring_any_more_can_still_be_asked_and_erased(store, key):
    for words in (("history", key), ("believed", key, "--on", "2026-01-01"), ("erase", key, "--yes")):
        assert "no such patient in this store" in run(*words, "--store", store[0], code=3).stderr


def rows_of(url):
    """Every row of a store; the file itself also changes when a log that a reader left behind is taken in."""
    with closing(sqlite3.connect(f"file:{url}?mode=ro", uri=True)) as connection:
        return list(connection.iterdump())


def test_fewer_draws_than_twins_usually_rest_on_are_all_used_and_said(store, tmp_path):
    _, folder = store
    given = ("--population", folder / "population.nc", "--model", folder / "level")
    answer = run("store-population", "--store", tmp_path / "few.db", *given)
    assert "twins rest on all 100 draws of this posterior, fewer than 400" in answer.stderr
    assert "fewer than 20 draws" in answer.stderr


def test_an_encrypted_store_says_what_it_does_not_seal(store, tmp_path, monkeypatch):
    pytest.importorskip("cryptography")
    _, folder = store
    (tmp_path / "key").write_text("ab" * 32, encoding="ascii")
    monkeypatch.setenv("BAYESTWIN_STORE_KEY_FILE", str(tmp_path / "key"))
    given = ("--population", folder / "population.nc", "--model", folder / "level", "--population-draws", 50)
    answer = run("store-population", "--store", tmp_path / "sealed.db", "--encrypt", *given)
    assert "tables of the database hold labs, doses, events and reasons in plain text" in answer.stderr
    assert "plain text" not in run("store-population", "--store", tmp_path / "plain.db", *given).stderr


def test_a_store_with_damaged_rows_is_exit_code_3_and_says_which(store, tmp_path):
    url, folder = store
    copy = tmp_path / "s.db"
    shutil.copytree(f"{url}.files", f"{copy}.files")
    raw = sqlite3.connect(copy)
    sqlite3.connect(url).backup(raw)
    for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        raw.execute(f"DROP TRIGGER {name}")
    raw.execute("UPDATE record_items SET body = replace(body, '20.1', '29.1') WHERE subject = 'P-0'")
    raw.commit()
    assert "is not the one that was taken in" in run("verify-store", "--store", copy, code=3).stdout
    raw.execute("UPDATE audit SET details = '' WHERE number = 2")
    raw.execute("UPDATE record_items SET body = '{' WHERE subject = 'P-0'")
    raw.commit()
    said = run("verify-store", "--store", copy, code=3).stdout
    assert "table audit, row 2: damaged" in said and "table record_items, row " in said
    assert "verify-store" in run("refresh", "--store", copy, "--labs", folder / "labs.csv", code=3).stderr
    raw.execute("DELETE FROM meta")
    raw.commit()
    assert "table meta: the settings of this store" in run("verify-store", "--store", copy, code=3).stderr


def test_verify_names_a_head_that_is_not_in_the_log(store):
    url, _ = store
    answer = run("verify-store", "--store", url)
    head = next(line.split()[-1] for line in answer.stdout.splitlines() if line.startswith("audit head"))
    assert "0 problems" in answer.stdout and run("verify-store", "--store", url, "--head", head)
    assert "does not hold the hash" in run("verify-store", "--store", url, "--head", "f" * 64, code=3).stdout
    assert run("store-migrate", "--store", url).stdout.startswith("schema 0003: nothing to do")


def test_erasing_asks_first(store):
    url, _ = store
    assert "Nothing was erased" in run("erase", "P-1", "--store", url, input="n\n").stderr
    assert "files and all rows; an audit line stays" in run("erase", "P-1", "--store", url, "--yes").stdout
    assert "no such patient" in run("history", "P-1", "--store", url, code=3).stderr


def test_a_store_that_is_not_there_is_exit_code_3(tmp_path):
    assert "there is no store" in run("refresh", "--store", tmp_path / "none.db", code=3).stderr


def test_an_answer_never_replaces_the_store_nor_any_other_file(store):
    url, folder = store
    before = rows_of(url)
    answer = run("believed", "P-1", "--store", url, "--on", "2100-01-01", "--out", url, code=2)
    assert "is there already" in answer.output and rows_of(url) == before


def test_files_none_of_whose_rows_can_be_used_are_exit_code_3_and_every_row_is_listed(store, tmp_path):
    url, folder = store
    (tmp_path / "patients.csv").write_text("patient\nX-1\n", encoding="utf-8")
    (tmp_path / "labs.csv").write_text("patient,time,output,value,unit\nX-9,1,m_protein,20,g/L\n", encoding="utf-8")
    assert "1 rows refused" in run("refresh", "--store", url, "--labs", tmp_path, code=1).stdout
    (tmp_path / "labs.csv").write_text("patient,time,output,value,unit\nX-7,1,m_protein,900,g/L\n", encoding="utf-8")
    answer = run("refresh", "--store", url, "--labs", tmp_path / "labs.csv", code=3)
    assert json.loads(answer.stderr.splitlines()[1])["event"] == "row refused"
    run("refused", "--store", url, "--out", tmp_path / "refused.csv")
    listed = (tmp_path / "refused.csv").read_text(encoding="utf-8")
    assert "X-7,labs.csv,2,value,900," in listed and "X-9,labs.csv,2,patient,X-9," in listed
    assert run("refused", "--store", url).stdout == listed
    assert "is there already" in run("refused", "--store", url, "--out", tmp_path / "refused.csv", code=2).stderr


def test_two_stores_whose_names_differ_in_the_ending_keep_their_files_apart(store):
    url, folder = store
    other = folder / "s.sqlite"
    given = ("--population", folder / "population.nc", "--model", folder / "level", "--particles", 800)
    run("store-population", "--store", other, *given, "--population-draws", 50)
    assert (folder / "s.db.files").is_dir() and (folder / "s.sqlite.files").is_dir()
    run("verify-store", "--store", url)
