"""Occasions: the column OCC of event tables and the covariate `occasion` of events.csv, for a model that has them."""

from dataclasses import replace

import pytest

from bayestwin.records.record import covariate_changes
from bayestwin.records.schedule import read_schedule

HEAD = "ID,TIME,DV,AMT,EVID,OCC\n"


@pytest.fixture
def occasional(theophylline):
    """Theophylline with up to three occasions."""
    return replace(theophylline, covariates={"occasion": ""}, effects=("occasion",), occasions=3)


def occasions(reading, key="1"):
    record = reading.cohort[key]
    changes = covariate_changes(record, ("occasion",))
    return [record.covariates.get("occasion"), *((time, number) for time, _, number in changes)]


def refused(reading):
    return [str(refusal) for refusal in reading.refusals]


def test_occ_of_an_event_table_says_which_occasion_is_on(occasional, read):
    table = HEAD + "1,0,,100,1,1\n1,2,5,,0,1\n1,24,,100,1,2\n1,26,5,,0,2\n1,48,,100,1,1\n"
    found = read(occasional, event_table=table)
    assert occasions(found) == [1.0, (24.0, 2.0), (48.0, 1.0)] and not refused(found)
    assert "event_table.csv: column OCC is read as occasion." in found.notes


def test_a_trough_is_written_before_the_dose_that_begins_the_next_occasion(occasional, read):
    table = HEAD + "1,0,,100,1,1\n1,24,5,,0,1\n1,24,,100,1,2\n1,26,5,,0,2\n"
    found = read(occasional, event_table=table)
    assert occasions(found) == [1.0, (24.0, 2.0)] and not refused(found)
    again = read(occasional, event_table=table, base=found.cohort)
    assert again.cohort.patients == found.cohort.patients


def test_numbers_that_are_no_occasion_are_refused_with_place_and_what_is_allowed(occasional, read):
    table = HEAD + "1,0,,100,1,1\n1,2,5,,0,1.5\n1,24,,100,1,4\n1,26,5,,0,2\n"
    found = read(occasional, event_table=table)
    assert occasions(found) == [1.0, (26.0, 2.0)] and len(found.cohort["1"].labs) == 2  # the rows are used
    half, fourth = refused(found)
    assert half.startswith(
        "patient 1, event_table.csv row 3, occ: there is no such occasion in the model (found '1.5')"
    )
    assert "a whole number from 1 to 3" in half and "raise `most` in the model's occasions" in half
    assert "event_table.csv row 4, occ: there is no such occasion in the model (found '4')" in fourth


def test_events_csv_says_when_an_occasion_begins(occasional, read):
    events = "patient,time,event,value\n1,24,covariate,occasion = 2\n1,30,covariate,occasion = 7\n"
    labs = "patient,time,output,value,unit\n1,1,concentration,5,mg/L\n1,25,concentration,5,mg/L\n"
    found = read(occasional, labs=labs, events=events)
    assert occasions(found) == [None, (24.0, 2.0)]  # until then it is the first
    (only,) = refused(found)
    assert "patient 1, events.csv row 3, value" in only and "a whole number from 1 to 3" in only
    quiet = read(occasional, labs=labs)
    assert "not said, so at the model's reference: occasion (which is 1) (1 of 1 patients)." in quiet.notes


def test_a_model_without_occasions_says_that_occ_is_not_used(theophylline, read):
    found = read(theophylline, event_table=HEAD + "1,0,,100,1,1\n1,2,5,,0,2\n")
    assert "event_table.csv: occasions (OCC) are not used: the model tells none apart." in found.notes
    assert occasions(found) == [None] and not refused(found)


def test_a_schedule_for_a_simulation_knows_occasions(occasional, theophylline, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("ID,TIME,AMT,EVID,OCC\n1,0,100,1,1\n1,24,0,0,1\n1,24,100,1,2\n1,30,,0,.\n2,0,100,1,9\n")
    found = read_schedule(path, occasional)
    assert found.occasions == {"1": ((0.0, 1.0), (24.0, 2.0))}
    assert found.set_aside == ("2",) and "1 to 3" in str(found.refusals[0])
    assert read_schedule(path, theophylline).occasions == {}
