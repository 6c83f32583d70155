"""Duplicates, corrections, withdrawals, contradictions; and what was believed when."""

import itertools
import random

import pytest

HEAD = "patient,lab_id,time,known_time,output,value,unit,status\n"


def labs(*rows):
    return HEAD + "".join(f"P1,{r}\n" for r in rows)


def values(patient):
    return [lab.value for lab in patient.labs]


def test_the_same_row_twice_is_a_duplicate_refused_and_listed(read):
    reading = read(labs=labs(",5,,m_protein,31,g/L,", ",5,,m_protein,3.1,g/dL,"))
    assert values(reading.cohort["P1"]) == [31.0]
    (refusal,) = reading.refusals
    assert "duplicate" in refusal.reason and refusal.row == 3


def test_a_later_value_of_the_same_name_is_a_correction_and_both_clocks_are_kept(read):
    reading = read(labs=labs("a,5,6,m_protein,31,g/L,", "a,5,20,m_protein,13,g/L,corrected"))
    patient = reading.cohort["P1"]
    assert not reading.refusals
    assert values(patient) == [13.0] and patient.labs[0].status == "corrected"
    believed = {t: values(reading.at(t)["P1"]) for t in (5.9, 6, 19.9, 20, 99)}
    assert believed == {5.9: [], 6: [31.0], 19.9: [31.0], 20: [13.0], 99: [13.0]}
    assert reading.at(6)["P1"].known_at(6) == reading.at(6)["P1"]


def test_a_correction_needs_no_status_only_a_later_known_time(read):
    reading = read(labs=labs(",5,6,m_protein,31,g/L,", ",5,20,m_protein,13,g/L,"))
    assert values(reading.cohort["P1"]) == [13.0] and values(reading.at(10)["P1"]) == [31.0]


def test_a_correction_may_move_the_time_of_a_named_lab(read):
    reading = read(labs=labs("a,5,6,m_protein,31,g/L,", "a,4,20,m_protein,31,g/L,corrected"))
    assert [lab.time for lab in reading.cohort["P1"].labs] == [4.0]
    assert [lab.time for lab in reading.at(10)["P1"].labs] == [5.0]


def test_a_retraction_withdraws_and_the_past_still_knows_it(read):
    reading = read(labs=labs("a,5,6,m_protein,31,g/L,", "a,5,20,m_protein,,,retracted"))
    assert (
        values(reading.cohort["P1"]) == []
        and values(reading.at(19)["P1"]) == [31.0]
        and values(reading.at(20)["P1"]) == []
    )


def test_a_retraction_without_known_time_still_withdraws(read):
    reading = read(labs=labs("a,5,9,m_protein,31,g/L,", "a,5,,,,,retracted"))
    assert not reading.refusals and values(reading.cohort["P1"]) == []


@pytest.mark.parametrize("known", [("20", "20"), ("", ""), ("20", "")])
def test_a_correction_withdrawn_at_the_same_time_is_refused_in_any_order_of_rows_and_files(read, known):
    final, corrected = "a,5,6,m_protein,31,g/L,", f"a,5,{known[0]},m_protein,13,g/L,corrected"
    rows = final, corrected, f"a,5,{known[1]},,,,retracted"
    for order in itertools.permutations(rows):
        reading = read(labs=labs(*order))
        (refusal,) = reading.refusals
        assert values(reading.cohort["P1"]) == [] and refusal.row == order.index(corrected) + 2
        assert refusal.reason.startswith(f"labs.csv row {order.index(rows[2]) + 2} withdraws what this row corrects")
        assert refusal.column == "status" and refusal.value == "corrected"
        assert "give its row a later known_time" in refusal.next_step
    again = read(labs=labs(*rows), base=reading.cohort)
    assert again.cohort == reading.cohort and again.cohort["P1"].past == reading.cohort["P1"].past
    assert [(r.row, r.column) for r in again.refusals] == [(3, "status")]
    if known[0] == known[1]:  # in files of their own a withdrawal without a clock is of what was sent before
        late = read(labs=labs(corrected), base=read(labs=labs(final, rows[2])).cohort)
        assert values(late.cohort["P1"]) == []
        assert late.refusals[0].reason.startswith("the earlier record withdraws what this row corrects")


def test_a_withdrawal_without_known_time_reaches_a_correction_with_one_in_one_file_as_in_two(read):
    rows = "a,5,6,m_protein,31,g/L,", "a,5,20,m_protein,13,g/L,corrected"
    after = read(labs=labs("a,5,,,,,retracted"), base=read(labs=labs(*rows)).cohort).cohort
    once = read(labs=labs(*rows, "a,5,,,,,retracted")).cohort
    assert values(after["P1"]) == values(once["P1"]) == []


def test_a_lab_withdrawn_the_moment_it_became_known_does_not_come_back_when_sent_again(read):
    withdrawn = read(labs=labs("a,5,,m_protein,31,g/L,", "a,5,,,,,retracted")).cohort
    for row in ("a,5,,m_protein,31,g/L,", "a,5,,,,,retracted"):
        again = read(labs=labs(row), base=withdrawn)
        assert values(again.cohort["P1"]) == [] and again.unchanged == 1 and not again.refusals
    (refusal,) = read(labs=labs("a,5,,m_protein,13,g/L,"), base=withdrawn).refusals
    assert "another row says otherwise" in refusal.reason
    assert values(read(labs=labs("a,5,9,m_protein,13,g/L,"), base=withdrawn).cohort["P1"]) == [13.0]


def test_a_value_may_come_back_after_a_retraction(read):
    reading = read(labs=labs("a,5,6,m_protein,31,g/L,", "a,5,8,,,,retracted", "a,5,10,m_protein,31,g/L,"))
    assert [values(reading.at(t)["P1"]) for t in (6, 8, 10)] == [[31.0], [], [31.0]]


def test_a_retraction_of_nothing_is_refused(read):
    (refusal,) = read(labs=labs("a,5,20,m_protein,,,retracted")).refusals
    assert "nothing to withdraw" in refusal.reason and refusal.column == "status"


def test_two_values_known_at_once_contradict_each_other_and_both_are_refused(read):
    reading = read(labs=labs(",5,,m_protein,31,g/L,", ",5,,m_protein,13,g/L,", ",9,,m_protein,20,g/L,"))
    assert [r.row for r in reading.refusals] == [2, 3]
    assert "lab_id" in reading.refusals[0].next_step and values(reading.cohort["P1"]) == [20.0]


def test_minus_zero_is_the_same_time_as_zero(read):
    doses = "patient,time,amount,unit,route\nP1,0,320,mg,iv\nP1,-0,300,mg,iv\n"
    reading = read(labs=labs(",0,,m_protein,31,g/L,", ",-0,,m_protein,13,g/L,"), doses=doses)
    assert not reading.cohort["P1"].labs and not reading.cohort["P1"].doses
    assert [r.row for r in reading.refusals] == [2, 3, 2, 3]
    assert all("another row says otherwise" in r.reason for r in reading.refusals)


def test_two_lab_ids_at_one_time_are_two_measurements(read):
    reading = read(labs=labs("a,5,,m_protein,31,g/L,", "b,5,,m_protein,31,g/L,"))
    assert not reading.refusals and values(reading.cohort["P1"]) == [31.0, 31.0]


def test_one_lab_id_for_two_outputs_is_refused_not_taken_for_a_correction(read):
    reading = read(labs=labs("s1,5,6,m_protein,31,g/L,", "s1,5,7,involved_flc,900,mg/L,"))
    assert len(reading.refusals) == 2 and "two outputs" in reading.refusals[0].reason


def test_a_row_without_lab_id_beside_one_with_it_is_refused(read):
    reading = read(labs=labs("a,5,,m_protein,31,g/L,", ",5,,m_protein,31,g/L,"))
    assert [r.row for r in reading.refusals] == [3] and values(reading.cohort["P1"]) == [31.0]


def test_any_order_of_rows_gives_the_same_record(read):
    rows = [
        "a,5,6,m_protein,31,g/L,",
        "a,5,20,m_protein,13,g/L,corrected",
        "a,5,30,m_protein,14,g/L,corrected",
        "b,5,6,m_protein,12,g/L,",
        ",7,,involved_flc,900,mg/L,",
        ",7,,involved_flc,90,mg/dL,",
        "c,8,9,transgene,4000,copies/ug,",
        "c,8,11,,,,retracted",
        ",9,,m_protein,20,g/L,",
        ",9,,m_protein,21,g/L,",
        ",12,,m_protein,3000,g/L,",
    ]
    first = read(labs=labs(*rows))
    for seed in range(12):
        mixed = random.Random(seed).sample(rows, len(rows))
        again = read(labs=labs(*mixed))
        assert again.cohort["P1"] == first.cohort["P1"] and again.cohort["P1"].past == first.cohort["P1"].past
        assert len(again.refusals) == len(first.refusals) == 4


def test_files_are_upserts_and_absence_changes_nothing(read):
    first = read(labs=labs("a,5,6,m_protein,31,g/L,", "b,6,6,m_protein,30,g/L,"))
    second = read(labs=labs("c,9,9,m_protein,20,g/L,"), base=first.cohort)
    assert values(second.cohort["P1"]) == [31.0, 30.0, 20.0] and not second.refusals


def test_a_snapshot_withdraws_what_is_absent_and_says_so(read):
    first = read(labs=labs("a,5,6,m_protein,31,g/L,", "b,6,6,m_protein,30,g/L,"))
    second = read(labs=labs("b,6,6,m_protein,30,g/L,", "c,9,9,m_protein,20,g/L,"), base=first.cohort, snapshot=True)
    assert values(second.cohort["P1"]) == [30.0, 20.0]
    assert any("absent from the snapshot" in note for note in second.notes)
    assert values(second.at(7)["P1"]) == [31.0, 30.0]


def test_a_snapshot_that_lacks_what_became_known_after_all_of_it_is_told_from_a_withdrawal(read):
    first = read(labs=labs("a,5,6,m_protein,31,g/L,", "b,6,9,m_protein,30,g/L,"))
    older = read(labs=labs("a,5,6,m_protein,31,g/L,"), base=first.cohort, snapshot=True)
    assert dict(older.older) == {
        "P1": "the snapshot's newest row became known at 6, the earlier record's at 9: m_protein at 6"
    }
    assert any("is it an older file?: 1 row" in note for note in older.notes)
    withdrawn = labs("a,5,6,m_protein,31,g/L,", "b,6,9,m_protein,30,g/L,retracted")
    earlier = labs("b,6,9,m_protein,30,g/L,")  # what it lacks became known before
    for given in (withdrawn, earlier):
        assert not read(labs=given, base=first.cohort, snapshot=True).older


@pytest.mark.parametrize(
    "refused",
    [
        "b,6,6,m_protein,30,,",  # no unit
        "b,6,6,m_protein,30 g,g/L,",
        "b,6,6,nonsense,30,g/L,",
        ",6,6,m_protein,30,g/L,",  # without its lab_id, so that the earlier record contradicts it
        "b,6,5,m_protein,30,g/L,",  # known before it was drawn
        "b,6,6,m_protein,31,g/L,",
    ],
)
def test_a_snapshot_withdraws_no_lab_of_a_patient_with_a_refused_lab_and_says_so(read, refused):
    base = read(labs=labs("a,5,6,m_protein,31,g/L,", "b,6,6,m_protein,30,g/L,")).cohort
    base = read(labs=labs("x,1,1,m_protein,9,g/L,").replace("P1", "P2"), base=base).cohort
    rows = labs("a,5,6,m_protein,31,g/L,", refused) + "P2,y,2,2,m_protein,8,g/L,\n"
    reading = read(labs=rows, base=base, snapshot=True)
    assert values(reading.cohort["P1"]) == [31.0, 30.0] and values(reading.cohort["P2"]) == [8.0]
    assert [r.row for r in reading.refusals] == [3]
    told = [note for note in reading.notes if "were kept, since rows of their patient" in note]
    assert bool(told) == (not refused.startswith("b,6,6,m_protein,31"))  # a contradicted lab is not absent


def test_correction_and_retraction_reach_a_record_read_earlier(read):
    first = read(labs=labs("a,5,6,m_protein,31,g/L,", "b,6,6,m_protein,30,g/L,"))
    second = read(
        labs=labs("a,5,20,m_protein,13,g/L,corrected", "b,6,21,m_protein,,,retracted"), base=first.cohort["P1"]
    )
    assert not second.refusals and values(second.cohort["P1"]) == [13.0] and values(second.at(10)["P1"]) == [31.0, 30.0]


def test_a_file_sent_again_changes_nothing_and_is_not_a_pile_of_refusals(read):
    text = labs(
        "a,5,6,m_protein,31,g/L,",
        "a,5,20,m_protein,13,g/L,corrected",
        "b,6,6,m_protein,30,g/L,",
        "b,6,9,,,,retracted",
        ",7,,m_protein,9,g/L,",
    )
    first = read(labs=text)
    again = read(labs=text, base=first.cohort)
    assert again.cohort == first.cohort and again.cohort["P1"].past == first.cohort["P1"].past
    assert not again.refusals and again.unchanged == 5 and "5 rows known before" in again.summary()


def test_reading_in_parts_equals_reading_at_once_in_any_order(read):
    rows = [
        "a,5,6,m_protein,31,g/L,",
        "a,5,20,m_protein,13,g/L,corrected",
        "b,6,7,m_protein,30,g/L,",
        ",7,8,m_protein,9,g/L,",
    ]
    whole = read(labs=labs(*rows)).cohort
    for order in itertools.permutations(rows):
        cohort = None
        for one in order:
            cohort = read(labs=labs(one), base=cohort).cohort
        assert cohort == whole and cohort["P1"].past == whole["P1"].past


def test_an_upsert_that_contradicts_the_record_without_a_later_clock_is_refused(read):
    first = read(labs=labs("a,5,6,m_protein,31,g/L,"))
    second = read(labs=labs("a,5,6,m_protein,13,g/L,"), base=first.cohort)
    assert values(second.cohort["P1"]) == [31.0] and len(second.refusals) == 1


def test_dropping_labs_drops_their_past_and_data_hash_sees_only_the_present(read):
    corrected = read(labs=labs("a,5,6,m_protein,31,g/L,", "a,5,20,m_protein,13,g/L,corrected")).cohort["P1"]
    plain = read(labs=labs("a,5,20,m_protein,13,g/L,corrected")).cohort["P1"]
    assert corrected == plain and corrected.data_hash == plain.data_hash
    assert corrected.with_labs(()).known_at(10).labs == ()


@pytest.mark.parametrize("rows", [2, 3])
def test_a_death_is_one_event_that_can_be_corrected_not_two(read, rows):
    text = "patient,time,known_time,event,value,status\nP1,100,101,death,,\n"
    text += "P1,102,110,death,,corrected\nP1,50,,assessed,,\n"
    reading = read(events="\n".join(text.split("\n")[: rows + 1]) + "\n")
    assert [e.time for e in reading.cohort["P1"].events if e.event == "death"] == [102.0]


def test_a_lab_id_given_again_at_another_time_is_told_where_no_correction_was_declared(read):
    rows = "CONC,0,,m_protein,9,g/L,", "CONC,24,,m_protein,5,g/L,", "CONC,48,,m_protein,3,g/L,"

    def told(reading):
        return [note for note in reading.notes if "two measurements need two lab_ids" in note]

    reading = read(labs=labs(*rows))
    assert values(reading.cohort["P1"]) == [3.0] and told(reading)[0].endswith(
        "2 rows."
    )  # an empty known_time is the time
    assert told(read(labs=labs(rows[1]), base=read(labs=labs(rows[0])).cohort))
    for declared in ("CONC,24,,m_protein,9,g/L,corrected", "CONC,24,30,m_protein,9,g/L,"):
        moved = read(labs=labs(rows[0], declared))
        assert not told(moved) and [lab.time for lab in moved.cohort["P1"].labs] == [24.0]
    both = read(labs=labs("CONC,0,50,m_protein,9,g/L,", "CONC,24,50,m_protein,9,g/L,"))
    assert [r.column for r in both.refusals] == ["lab_id"] * 2


ORDERED = "patient,lab_id,time,known_time,output,value,unit,status,order\n"


@pytest.mark.parametrize(("first", "then"), [("", "1"), ("1", "")])
def test_a_correction_at_another_place_of_its_time_is_refused_not_counted_beside_what_it_corrects(read, first, then):
    old = ORDERED + f"P1,,24,24,m_protein,2.3,g/L,,{first}\n"
    new = f"P1,,24,30,m_protein,2.4,g/L,corrected,{then}\n"
    for reading in (read(labs=ORDERED + new, base=read(labs=old).cohort), read(labs=old + new)):
        assert values(reading.cohort["P1"]) == [2.3]
        (refusal,) = reading.refusals
        assert refusal.column == "status" and "which is not said" in refusal.reason
    withdrawn = f"P1,,24,30,m_protein,2.3,g/L,retracted,{first}\n"
    mended = read(labs=ORDERED + withdrawn + new.replace("corrected", ""), base=read(labs=old).cohort)
    assert not mended.refusals and [(x.value, x.order) for x in mended.cohort["P1"].labs] == [(2.4, 1 if then else -1)]


def test_the_order_of_a_named_lab_can_be_corrected(read):
    base = read(labs=ORDERED + "P1,A,24,24,m_protein,2.3,g/L,,\n").cohort
    reading = read(labs=ORDERED + "P1,A,24,30,m_protein,2.3,g/L,corrected,1\n", base=base)
    assert [lab.order for lab in reading.cohort["P1"].labs] == [1] and not reading.refusals
    assert [lab.order for lab in reading.at(25)["P1"].labs] == [-1]
    said = read(labs=ORDERED + "P1,A,24,24,m_protein,2.3,g/L,,1\n", base=base)
    assert [lab.order for lab in said.cohort["P1"].labs] == [-1] and [r.column for r in said.refusals] == ["order"]


EVENTS = "patient,time,known_time,event,value,status\n"


def test_progression_by_blood_and_by_imaging_on_one_day_are_two_findings(read):
    def found(rows, base=None):
        reading = read(events=EVENTS + rows, base=base)
        return [e.value for e in reading.cohort["P1"].events], len(reading.refusals), reading.cohort

    both = "P1,56,,progression,serological,\nP1,56,,progression,extramedullary,\n"
    values_of, refused, base = found(both)
    assert (values_of, refused) == (["extramedullary", "serological"], 0)
    assert found(both, base)[:2] == (values_of, 0)
    assert found("P1,56,60,progression,serological,retracted\n", base)[:2] == (["extramedullary"], 0)
    assert found("P1,56,60,progression,,retracted\n", base)[:2] == (values_of, 1)  # which is not said
    one = found("P1,56,,progression,serological,\n")[2]
    assert found("P1,56,60,progression,,retracted\n", one)[:2] == ([], 0)
    assert found("P1,56,60,progression,extramedullary,corrected\n", one)[:2] == (["extramedullary"], 0)
