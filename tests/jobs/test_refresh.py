"""Refresh: exactly those whose record changed, once; what fails is told and loses nothing."""

import errno
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from level_model import as_population
from level_store import PARTICLES, labs_csv

from bayestwin.errors import FitError
from bayestwin.jobs import move_patient, patient_report, publish
from bayestwin.jobs import refresh as refresh_module
from bayestwin.jobs.ask_store import believed
from bayestwin.jobs.basis import keep_population, load_basis
from bayestwin.jobs.errand import make_errand
from bayestwin.jobs.publish import publish_all
from bayestwin.jobs.refresh import problem_lines, refresh
from bayestwin.jobs.run_log import RunLog
from bayestwin.prognosis import simulate
from bayestwin.report.warnings import lab_age_days
from bayestwin.store import files
from bayestwin.store.durable import DiskFull
from bayestwin.store.outcomes import outcomes_of, take
from bayestwin.store.schema import now
from bayestwin.store.verify import content_digest, verify_store
from bayestwin.twin import target

QUIET = RunLog(quiet=True)
NEW_LAB = "P-1,4,m_protein,21.0,g/L\n"


def run(store, path, **how):
    return refresh(store, {"labs": path} if path else {}, log=QUIET, **how)


def published(store):
    return {path.name: path.read_bytes() for path in store.files.reports.glob("bt_*")}


def index(store):
    return json.loads((store.files.reports / "current.json").read_text(encoding="utf-8"))


def states(store):
    return {entry["patient"]: entry["state"] for entry in index(store)}


def outcomes(store, key):
    with store.reading() as connection:
        return outcomes_of(connection, key)


def test_a_refresh_moves_exactly_those_whose_record_changed_and_run_again_does_nothing(store, tmp_path):
    labs = labs_csv(tmp_path / "labs.csv", patients=3)
    first = run(store, labs)
    assert first.counts == {"published": 3} and first.changed == 3 and first.waiting == 0
    before, digest = published(store), content_digest(store)
    again = run(store, labs)
    assert not again.counts and again.changed == 0
    assert published(store) == before and content_digest(store) == digest and len(before) == 6
    newer = run(store, labs_csv(tmp_path / "labs.csv", patients=3, more=NEW_LAB))
    assert newer.counts == {"published": 1} and newer.changed == 1
    assert [o.facts["path"] for o in outcomes(store, "P-1")] == ["start", "reweight"]
    assert sum(name not in published(store) for name in before) == 2 and len(published(store)) == 6
    assert "summary" not in newer.summary() and newer.summary().startswith("bayestwin refresh: 1 published, 0 held")
    assert verify_store(store).problems == [] and verify_store(store).orphans == []


def test_absence_is_no_withdrawal_unless_the_file_is_the_whole_record(store, tmp_path):
    whole, part = labs_csv(tmp_path / "a.csv", patients=1), labs_csv(tmp_path / "b.csv", patients=1, days=2)
    run(store, whole)
    assert run(store, part).changed == 0
    assert run(store, part, snapshot=True).counts == {"published": 1}
    assert outcomes(store, "P-0")[-1].facts["labs"] == 2


def test_a_patient_who_has_died_is_held_with_his_twin_and_nothing_is_forecast(store, tmp_path):
    labs, events = labs_csv(tmp_path / "labs.csv", patients=1), tmp_path / "events.csv"
    events.write_text("patient,time,event,value\nP-0,5,death,infection\n", encoding="utf-8")
    found = refresh(store, {"labs": labs, "events": events}, log=QUIET)
    (outcome,) = outcomes(store, "P-0")
    assert found.counts == {"held": 1} and problem_lines(found) == ["patient P-0: the patient has died"]
    assert found.died == 1
    assert set(outcome.objects) == {"twin"} and not list(store.files.reports.glob("bt_*"))
    assert not refresh(store, {"labs": labs, "events": events}, log=QUIET).counts


def test_one_bad_patient_stops_nobody_and_is_tried_again_next_time(store, tmp_path, monkeypatch):
    labs, start = labs_csv(tmp_path / "labs.csv", patients=3), move_patient.start_twin

    def fails(population, record, **how):
        if record.key == "P-1":
            raise FitError("nothing fits", subject="patient P-1")
        return start(population, record, **how)

    with monkeypatch.context() as patch:
        patch.setattr(move_patient, "start_twin", fails)
        found = run(store, labs)
        assert found.counts == {"published": 2, "failed": 1} and problem_lines(found) == ["patient P-1: nothing fits."]
        assert run(store, labs).counts == {"failed": 1} and len(outcomes(store, "P-1")) == 1
    assert states(store) == {"P-0": "current", "P-1": "no report", "P-2": "current"}
    assert run(store, labs).counts == {"published": 1}


def test_a_patient_all_of_whose_labs_were_refused_is_failed_and_not_published_from_nothing(store, tmp_path):
    foreign = "P-9,1,transgene,500,copies/ug\nP-9,2,transgene,900,copies/ug\n"
    files = {"labs": labs_csv(tmp_path / "labs.csv", patients=1, more=foreign), "patients": tmp_path / "patients.csv"}
    files["patients"].write_text("patient\nP-0\nP-9\n", encoding="utf-8")
    found = refresh(store, files, log=QUIET)
    assert found.counts == {"published": 1, "failed": 1} and len(found.refusals) == 2
    (failed,) = outcomes(store, "P-9")
    assert failed.status == "failed" and "no lab is left, and 2 rows were refused" in failed.reason


def test_a_fault_of_the_program_is_told_without_the_values_it_met(store, tmp_path, monkeypatch):
    def fault(*_, **__):
        raise KeyError("creatinine 88 of Anna")

    monkeypatch.setattr(move_patient, "start_twin", fault)
    found = run(store, labs_csv(tmp_path / "labs.csv", patients=1))
    assert problem_lines(found) == ["patient P-0: a fault in bayestwin (KeyError); please report it"]


def test_a_failed_check_is_held_back_and_the_last_good_report_stays_marked(store, tmp_path, monkeypatch):
    run(store, labs_csv(tmp_path / "labs.csv", patients=2))
    before, update = published(store), move_patient.update_twin

    def withheld(*given, **how):
        twin, info = update(*given, **how)
        info = replace(info, verdict="WITHHELD", reasons=("islands disagree",))
        return replace(twin, history=(*twin.history[:-1], info)), info

    newer = labs_csv(tmp_path / "labs.csv", patients=2, more=NEW_LAB)
    with monkeypatch.context() as patch:
        patch.setattr(move_patient, "update_twin", withheld)
        found = run(store, newer)
        assert found.counts == {"held": 1} and found.problems == {"P-1": "islands disagree"} and found.waiting == 1
        assert not run(store, newer).counts
    after = published(store)
    marks = {name: text for name, text in after.items() if name not in before}
    assert before.items() <= after.items() and len(marks) == 1
    assert b"islands disagree" in next(iter(marks.values()))
    assert states(store) == {"P-0": "current", "P-1": "superseded data waiting"}
    run(store, labs_csv(tmp_path / "labs.csv", patients=2, more=NEW_LAB + "P-1,5,m_protein,20.9,g/L\n"))
    assert states(store)["P-1"] == "current" and not any("waiting" in name for name in published(store))
    assert outcomes(store, "P-1")[-1].facts["new_labs"] == 2


def test_a_damaged_draws_file_is_named_loses_nothing_and_can_be_made_again(store, tmp_path):
    run(store, labs_csv(tmp_path / "labs.csv", patients=2))
    twin = outcomes(store, "P-1")[-1].objects["twin"]
    path = store.files.path(twin, ".nc")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    newer, before = (
        labs_csv(tmp_path / "labs.csv", patients=2, more=NEW_LAB + NEW_LAB.replace("P-1", "P-0")),
        published(store),
    )
    found = run(store, newer)
    assert found.counts == {"published": 1, "failed": 1}
    assert f"{twin}.nc: a file of the store has changed" in found.problems["P-1"]
    assert states(store) == {"P-0": "current", "P-1": "superseded data waiting"}
    assert len(before.items() & published(store).items()) == 2
    mended = run(store, newer, rebuild_damaged=True)
    assert mended.counts == {"published": 1} and outcomes(store, "P-1")[-1].facts["labs"] == 4


def test_a_full_disk_stops_the_run_and_the_next_one_ends_where_an_undisturbed_one_does(
    new_store, tmp_path, monkeypatch
):
    labs, store, calls = labs_csv(tmp_path / "labs.csv", patients=2), new_store("full"), []

    def full(path, data):
        calls.append(path)
        if len(calls) == 6:
            raise DiskFull("the disk is full")
        return write(path, data)

    write = files.write_durably
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_durably", full)
        found = run(store, labs)
    assert found.counts == {"published": 1} and "the disk is full" in found.stopped and found.waiting == 1
    assert run(store, labs).counts == {"published": 1}
    undisturbed = new_store("undisturbed")
    run(undisturbed, labs)
    assert content_digest(store) == content_digest(undisturbed)
    assert published(store) == published(undisturbed)
    assert store.files.listed() == undisturbed.files.listed()


def test_draws_solved_in_blocks_are_those_solved_at_once_also_where_a_model_has_no_hazard(
    new_store, population, tmp_path, monkeypatch
):
    assert not population.model.hazards
    labs, at_once, in_blocks = labs_csv(tmp_path / "labs.csv", patients=1), new_store("once"), new_store("blocks")
    assert run(at_once, labs).counts == {"published": 1}
    monkeypatch.setattr(target, "TOGETHER", PARTICLES // 2)
    simulate._solve.clear_cache()
    assert run(in_blocks, labs).counts == {"published": 1}
    simulate._solve.clear_cache()
    assert content_digest(in_blocks) == content_digest(at_once)


def test_a_patient_whom_another_run_has_is_said_to_be_due_still(store, tmp_path):
    run(store, labs_csv(tmp_path / "labs.csv", patients=1))
    with store.writing() as connection:
        assert take(connection, "P-0", "elsewhere-1-1", now() + timedelta(hours=1))
    found = run(store, labs_csv(tmp_path / "labs.csv", patients=1, more=NEW_LAB.replace("P-1", "P-0")))
    assert not found.counts and (found.waiting, found.patients) == (1, 1)
    assert problem_lines(found) == ["patient P-0: still due: another run is working on this patient"]


def test_a_run_that_lost_its_lease_writes_nothing(store, tmp_path, monkeypatch):
    monkeypatch.setattr(refresh_module.Leases, "holds", lambda *_: False)
    monkeypatch.setattr(refresh_module.Leases, "take", lambda self, key: not outcomes(store, "P-0") and self.once())
    turns = iter([True])
    monkeypatch.setattr(refresh_module.Leases, "once", lambda self: next(turns, False), raising=False)
    found = run(store, labs_csv(tmp_path / "labs.csv", patients=1))
    assert not found.counts and found.waiting == 1 and outcomes(store, "P-0") == []


def test_log_lines_are_json_with_study_keys_and_no_value(store, tmp_path, capsys):
    refresh(store, {"labs": labs_csv(tmp_path / "labs.csv", patients=1)}, log=RunLog())
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["files read", "published", "done"]
    assert lines[1]["patient"] == "P-0" and lines[1]["verdict"] == "PASS" and "20.1" not in json.dumps(lines)
    assert not any("P-0" in str(path) for path in store.files.folder.rglob("*"))


def test_a_name_used_as_a_key_stands_in_no_log_line_no_list_and_no_note(store, tmp_path, monkeypatch, capsys):
    names = ("Anna Muster", "muster", "anna.muster@example.org", "Muster 1961-03-09")
    rows = [f"{name},{t},m_protein,2{t},g/L" for name in (*names, "P-1") for t in (1, 2)]
    (tmp_path / "labs.csv").write_text("patient,time,output,value,unit\n" + "\n".join(rows) + "\n", encoding="utf-8")

    def fails(population, record, **how):
        raise FitError("nothing fits", subject=f"patient {record.key}")

    monkeypatch.setattr(move_patient, "start_twin", fails)
    found = refresh(store, {"labs": tmp_path / "labs.csv"}, log=RunLog())
    assert found.counts == {"failed": 5} and "patient P-1: nothing fits." in problem_lines(found)
    said = [*problem_lines(found), capsys.readouterr().err]
    said += [path.read_text(encoding="utf-8") for path in store.files.reports.iterdir()]
    said += [path.name for path in store.files.folder.rglob("*")]
    assert not any(name in text for name in (*names, "Anna", "example.org", "1961") for text in said)
    assert states(store) == {f"mark {store.mark(name)}": "no report" for name in names} | {"P-1": "no report"}


def test_a_damaged_report_is_told_and_stops_nobody(store, tmp_path):
    run(store, labs_csv(tmp_path / "labs.csv", patients=2))
    last = outcomes(store, "P-0")[-1]
    store.files.path(last.objects["report"], ".html").write_bytes(b"damaged")
    (store.files.reports / f"{last.facts['report']}.html").unlink()
    found = run(store, labs_csv(tmp_path / "labs.csv", patients=2, more=NEW_LAB))
    assert found.counts == {"published": 1} and len(found.unusable) == 1
    assert f"the report {last.facts['report']}.html cannot be shown" in found.unusable[0]


def test_a_file_that_the_disk_does_not_give_stops_nobody_else(store, tmp_path, monkeypatch):
    run(store, labs_csv(tmp_path / "labs.csv", patients=2))
    name, read = outcomes(store, "P-1")[-1].objects["twin"], Path.read_bytes

    def bad_sector(path):
        if path.name.startswith(name):
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", bad_sector)
    more = NEW_LAB + NEW_LAB.replace("P-1", "P-0")
    found = run(store, labs_csv(tmp_path / "labs.csv", patients=2, more=more))
    assert found.counts == {"published": 1, "failed": 1}
    assert "a file of the store cannot be read (found 'Input/output error')" in found.problems["P-1"]
    assert any("cannot be read" in said for said in verify_store(store).problems)


def test_the_index_names_a_report_that_is_there_at_every_moment_of_a_run(store, tmp_path, monkeypatch):
    run(store, labs_csv(tmp_path / "labs.csv", patients=2))
    first, seen, remove = index(store), [], publish.remove_durably

    def removed(path):
        remove(path)
        seen.append([entry["report"] for entry in index(store)])

    monkeypatch.setattr(publish, "remove_durably", removed)
    run(store, labs_csv(tmp_path / "labs.csv", patients=2, more=NEW_LAB))
    there = {path.stem for path in store.files.reports.glob("bt_*.html")}
    assert seen and all(set(names) <= there for names in seen)
    assert [entry["report"] for entry in first] != seen[0] == [entry["report"] for entry in index(store)]


def test_a_newer_population_makes_everyone_due_and_older_answers_stay(store, population, level_folder, tmp_path):
    labs = labs_csv(tmp_path / "labs.csv", patients=1)
    run(store, labs)
    draws = {name: values.values.reshape(-1) + 0.01 for name, values in population.posterior.data_vars.items()}
    newer = as_population(population.model, draws)
    newer.tree.attrs.update({k: v for k, v in population.tree.attrs.items() if k not in newer.tree.attrs})
    assert keep_population(store, newer, model_text=str(level_folder))
    assert publish_all(store) == [] and states(store) == {"P-0": "superseded data waiting"}  # as a killed run leaves it
    (note,) = store.files.reports.glob("*.txt")
    assert note.read_text(encoding="utf-8").startswith("A newer population is in use, and this report rests on the one")
    assert run(store, None).counts == {"published": 1} and not run(store, labs).counts
    first, second = outcomes(store, "P-0")
    assert first.basis != second.basis and second.facts["path"] == "start" and first.state_hash == second.state_hash
    assert believed(store, "P-0", first.at).outcome == first and believed(store, "P-0", second.at).outcome == second


def test_the_report_on_a_newer_population_warns_of_it_without_an_endpoint_too(
    store, population, level_folder, tmp_path
):
    run(store, labs_csv(tmp_path / "labs.csv", patients=1))
    draws = {name: values.values.reshape(-1) + 0.01 for name, values in population.posterior.data_vars.items()}
    newer = as_population(population.model, draws)
    newer.tree.attrs.update({k: v for k, v in population.tree.attrs.items() if k not in newer.tree.attrs})
    keep_population(store, newer, model_text=str(level_folder))
    run(store, None)
    said = [json.loads(store.files.get(o.objects["report_json"], ".json")) for o in outcomes(store, "P-0")]
    assert ["W-VERSION" in {reason["code"] for reason in page["reasons"]} for page in said] == [False, True]


def test_the_day_that_is_asked_for_is_the_day_of_the_report(store, tmp_path, monkeypatch):
    """A registry that is taken in years later is old news today: --as-of says on which day its reports are read."""
    labs = tmp_path / "labs.csv"
    dates = "".join(f"P-7,2021-03-0{d}T08:00Z,m_protein,{19 + d},g/L\n" for d in (1, 2, 3))
    labs.write_text("patient,time,output,value,unit\n" + dates, encoding="utf-8")
    gather, ages = patient_report.gather_report_input, []

    def told(*arguments, **how):
        inputs = gather(*arguments, **how)
        ages.append(lab_age_days(inputs))
        return inputs

    monkeypatch.setattr(patient_report, "gather_report_input", told)
    assert run(store, labs, as_of="2021-03-10").counts == {"published": 1}
    labs.write_text(labs.read_text(encoding="utf-8") + "P-7,2021-03-04T08:00Z,m_protein,21,g/L\n", encoding="utf-8")
    assert run(store, labs).counts == {"published": 1}
    assert ages[0] == 7.0 and ages[1] > 1700.0  # SOURCE_DATE_EPOCH is the last day of 2025
    assert make_errand(store, load_basis(store), None, False, "2021-03-10").as_of == "2021-03-10"
