"""What a store answers about the past, and what is left after an erasure."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from level_store import labs_csv, settings

from bayestwin.errors import RecordError, StoreError
from bayestwin.jobs import ask_store
from bayestwin.jobs import refresh as refresh_module
from bayestwin.jobs.ask_store import believed, erase, history, record_known
from bayestwin.jobs.basis import keep_population, load_basis
from bayestwin.jobs.leases import Leases
from bayestwin.jobs.refresh import refresh
from bayestwin.jobs.run_log import RunLog
from bayestwin.jobs.take_in import take_in
from bayestwin.store import outcomes
from bayestwin.store.encryption import VARIABLE
from bayestwin.store.opening import create_store
from bayestwin.store.outcomes import take
from bayestwin.store.process import is_gone
from bayestwin.store.schema import now
from bayestwin.store.verify import verify_store

QUIET = RunLog(quiet=True)


def run(store, path):
    return refresh(store, {"labs": path}, log=QUIET)


def test_what_was_believed_then_comes_back_byte_for_byte(store, tmp_path):
    run(store, labs_csv(tmp_path / "labs.csv", patients=2))
    page = {path.suffix: path.read_bytes() for path in store.files.reports.glob("bt_*") if _is_of(store, path, "P-1")}
    then = now()
    run(store, labs_csv(tmp_path / "labs.csv", patients=2, more="P-1,4,m_protein,21.0,g/L\n"))
    for what, suffix in (("report", ".html"), ("report_json", ".json")):
        assert (
            believed(store, "P-1", then, what=what).data
            == page[suffix]
            != believed(store, "P-1", now(), what=what).data
        )
    assert [o.status for o in history(store, "P-1")] == ["published", "published"]
    assert len(record_known(store, "P-1", then).labs) == 3 and len(record_known(store, "P-1", now()).labs) == 4
    with pytest.raises(RecordError, match="patient P-1: nothing had been published by then"):
        believed(store, "P-1", then - timedelta(days=1))
    with pytest.raises(RecordError, match="patient P-9: no such patient in this store"):
        history(store, "P-9")


def test_data_that_wait_are_said_also_where_nothing_was_tried_yet(store, tmp_path, monkeypatch):
    run(store, labs_csv(tmp_path / "labs.csv", patients=1))
    then = now()
    more = labs_csv(tmp_path / "labs.csv", patients=1, more="P-0,4,m_protein,21.0,g/L\n")
    take_in(store, load_basis(store).model.record_schema(), {"labs": more})
    assert believed(store, "P-0", then).note == ""
    waiting = believed(store, "P-0", now())
    assert waiting.note == "superseded data waiting: they had not been worked in yet"
    assert waiting.data == believed(store, "P-0", then).data
    with (
        monkeypatch.context() as patch
    ):  # a clock that was set back by an hour: what came later is not believed earlier
        patch.setattr(outcomes, "now", lambda: now() - timedelta(hours=1))
        run(store, more)
    with pytest.raises(RecordError, match="nothing had been published by then"):
        believed(store, "P-0", then - timedelta(minutes=30))
    assert believed(store, "P-0", now()).data != waiting.data and believed(store, "P-0", now()).note == ""
    monkeypatch.setattr(ask_store, "record_of", damaged)
    assert believed(store, "P-0", now()).note.startswith("whether newer data were waiting cannot be said: a row of")


def damaged(key, items):
    raise StoreError("a row of this record in the store is damaged")


def _is_of(store, path, key):
    return path.stem == history(store, key)[0].facts["report"]


def test_an_erased_patient_is_gone_and_is_not_taken_in_again(store, tmp_path):
    labs = labs_csv(tmp_path / "labs.csv", patients=2)
    run(store, labs)
    kept = {path.name for path in store.files.reports.glob("bt_*") if not _is_of(store, path, "P-1")}
    before = sum(path.is_file() for path in store.files.folder.rglob("*"))
    assert erase(store, "P-1") == 6 == before - sum(path.is_file() for path in store.files.folder.rglob("*"))
    assert {path.name for path in store.files.reports.glob("bt_*")} == kept
    assert b"P-1" not in b"".join(path.read_bytes() for path in store.files.folder.parent.rglob("*") if path.is_file())
    found = run(store, labs)
    assert found.erased == 1 and not found.counts and found.changed == 0
    with pytest.raises(RecordError, match="no such patient"):
        erase(store, "P-1")
    assert verify_store(store).problems == [] and verify_store(store).orphans == []


def test_an_erasure_reaches_what_a_run_that_was_killed_before_its_commit_had_written(store, tmp_path, monkeypatch):
    population = store.files.listed()

    def killed(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(refresh_module, "_commit", killed)
        with pytest.raises(KeyboardInterrupt):
            run(store, labs_csv(tmp_path / "labs.csv", patients=1))
    assert len(store.files.listed() - population) == 4 == len(verify_store(store).orphans)
    assert erase(store, "P-0") == 4 and store.files.listed() == population


def test_a_patient_whom_a_refresh_is_working_on_is_not_erased(store, tmp_path):
    run(store, labs_csv(tmp_path / "labs.csv", patients=1))
    with store.writing() as connection:
        assert take(connection, "P-0", "another-1-1", now() + timedelta(hours=1))
    with pytest.raises(StoreError, match="patient P-0: a refresh is working on this patient.*nothing was removed"):
        erase(store, "P-0", wait_seconds=0.3)
    assert len(history(store, "P-0")) == 1
    with Leases(store) as leases:
        assert not leases.take("P-0")


def test_two_runs_of_one_process_do_not_share_a_lease(store, tmp_path):
    take_in(store, load_basis(store).model.record_schema(), {"labs": labs_csv(tmp_path / "labs.csv", patients=1)})
    with Leases(store) as one, Leases(store) as other:
        assert one.take("P-0") and one.take("P-0") and not other.take("P-0")
        with store.reading() as connection:
            assert one.holds(connection, "P-0") and not other.holds(connection, "P-0")
        other.let_go("P-0")
        assert not other.take("P-0") and not is_gone(one.me)
        one.let_go("P-0")
        assert other.take("P-0")
    dead = subprocess.run(
        [sys.executable, "-c", "from bayestwin.store.process import one_of_this_process as o; print(o())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert is_gone(dead.stdout.strip())


def test_an_encrypted_store_works_and_leaves_no_plain_draw_or_report(population, level_folder, tmp_path, monkeypatch):
    pytest.importorskip("cryptography")
    (tmp_path / "key").write_text(os.urandom(32).hex(), encoding="ascii")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "key"))
    store = create_store(str(tmp_path / "s.db"), settings=settings(population.model), encrypt=True)
    keep_population(store, population, model_text=str(level_folder))
    assert run(store, labs_csv(tmp_path / "labs.csv", patients=1)).counts == {"published": 1}
    more = labs_csv(tmp_path / "labs.csv", patients=1, more="P-0,4,m_protein,21.0,g/L\n")
    assert run(store, more).counts == {"published": 1}
    sealed = [path for path in store.files.folder.rglob("*") if path.is_file() and path.name != "current.json"]
    assert len(sealed) == 11 and all(path.suffix == ".enc" for path in sealed)
    plain = (b"\x89HDF\r\n", b"<html")  # long enough not to be met by chance
    assert not any(sign in path.read_bytes() for path in sealed for sign in plain)
    assert believed(store, "P-0", now(), what="report").data.startswith(b"<!")
    assert verify_store(store).problems == []
