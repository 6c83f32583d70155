"""The column `order`: a lab before or after a dose of its time, in whichever readings the two arrive."""

import numpy as np
import pytest

from bayestwin.individual.simulate import simulate_outputs
from bayestwin.specification import load_model

LAB = "patient,time,output,value,unit,order\n1,24,concentration,2.3,mg/L,"
DOSES = "patient,time,amount,unit,route,addl,ii\n"
EACH, REPEATED = DOSES + "".join(f"1,{t},100,mg,iv,,\n" for t in (0, 24, 48, 72)), DOSES + "1,0,100,mg,iv,3,24\n"


@pytest.fixture(scope="module")
def one_compartment():
    return load_model("one_compartment")


@pytest.mark.parametrize("doses", [EACH, REPEATED])
@pytest.mark.parametrize(("order", "expected"), [("1", 2.18143591), ("", 0.18143591), ("-1", 0.18143591)])
@pytest.mark.parametrize("parts", [("labs", "doses"), ("doses", "labs"), None])
def test_a_lab_said_after_the_dose_sees_it_also_a_repeated_one_and_one_of_another_reading(
    read, one_compartment, doses, order, expected, parts
):
    tables, schema, base = {"doses": doses, "labs": LAB + order + "\n"}, one_compartment.record_schema(), None
    for part in parts or ():
        reading = read(schema, base=base, **{part: tables[part]})
        base = reading.cohort
    reading = reading if parts else read(schema, **tables)
    assert not reading.refusals
    record = reading.cohort["1"]
    asked = [(lab.time, lab.order if lab.order >= 0 else False) for lab in record.labs]
    found = simulate_outputs(one_compartment, {"ka": 1.0, "CL": 5.0, "V": 50.0}, record.doses, asked)
    assert found[0] == pytest.approx([expected], rel=1e-6)


ORDERED = "patient,time,known_time,amount,unit,route,order,status\n"
BOTH = "1,24,24,100,mg,iv,,\n1,24,24,50,mg,iv,2,\n"


@pytest.mark.parametrize("rows", ["1,24,24,100,mg,iv,1,\n", BOTH, BOTH + "1,24,24,75,mg,iv,3,\n"])
def test_doses_with_an_order_that_are_sent_again_are_known_already(read, one_compartment, rows):
    schema = one_compartment.record_schema()
    first = read(schema, doses=ORDERED + rows)
    again = read(schema, doses=ORDERED + rows, base=first.cohort)
    assert again.cohort == first.cohort and again.unchanged == rows.count("\n") and not again.refusals
    snapshot = read(schema, doses=ORDERED + rows, base=first.cohort, snapshot=True)
    assert snapshot.cohort == first.cohort and not snapshot.refusals
    in_parts = None
    for row in rows.splitlines(keepends=True):
        in_parts = read(schema, doses=ORDERED + row, base=in_parts).cohort
    assert sorted(d.amount for d in in_parts["1"].doses) == sorted(d.amount for d in first.cohort["1"].doses)


def test_one_of_two_doses_of_a_time_is_corrected_or_withdrawn_in_a_later_reading(read, one_compartment):
    schema = one_compartment.record_schema()
    base = read(schema, doses=ORDERED + BOTH).cohort

    def amounts(rows):
        reading = read(schema, doses=ORDERED + rows, base=base)
        return sorted(d.amount for d in reading.cohort["1"].doses), [r.reason for r in reading.refusals]

    resent, changed = BOTH.splitlines(keepends=True)[0], "1,24,30,60,mg,iv,2,corrected\n"
    assert amounts(resent + changed) == ([60.0, 100.0], [])
    assert amounts(resent + changed.replace("corrected", "retracted")) == ([100.0], [])
    assert amounts(resent + "1,24,30,60,mg,iv,2,\n")[0] == [50.0, 100.0]
    kept, reasons = amounts(changed)  # 100 or 50 mg is meant
    assert kept == [50.0, 100.0] and "whether this row corrects it is not said" in reasons[0]


@pytest.mark.parametrize("tidy", [True, False])
def test_a_dose_stays_when_the_other_one_of_its_time_was_withdrawn_in_an_earlier_reading(read, one_compartment, tidy):
    schema, lab = one_compartment.record_schema(), "patient,time,output,value,unit\n1,25,concentration,2,mg/L\n"
    if tidy:
        both = {"doses": ORDERED + BOTH}
        one = {"doses": ORDERED + "1,24,24,100,mg,iv,,\n1,24,30,50,mg,iv,2,retracted\n"}
    else:
        head = "ID,TIME,DV,AMT,EVID,CMT\n1,24,.,100,1,2\n"
        both, one = {"event_table": head + "1,24,.,50,1,2\n"}, {"event_table": head}
    base = read(schema, **both).cohort
    base = read(schema, base=base, snapshot=not tidy, **one).cohort
    for tables in ({"labs": lab}, one, both if tidy else one):
        reading = read(schema, base=base, **tables)
        assert [d.amount for d in reading.cohort["1"].doses] == [100.0]
        assert reading.cohort["1"].past == base["1"].past


@pytest.mark.parametrize("parts", [("labs", "doses"), ("doses", "labs"), None])
def test_a_trough_at_the_time_of_a_steady_state_is_told_and_can_be_written(read, one_compartment, parts):
    schema = one_compartment.record_schema()
    head, lab = (
        "patient,time,amount,unit,route,ii,ss,addl\n",
        "patient,time,output,value,unit\n1,0,concentration,2,mg/L\n",
    )

    def read_in(doses):
        tables, base = {"doses": head + doses, "labs": lab}, None
        for part in parts or ():
            reading = read(schema, base=base, **{part: tables[part]})
            base = reading.cohort
        return reading if parts else read(schema, **tables)

    def predicted(reading):
        record, values = reading.cohort["1"], {"ka": 1.0, "CL": 5.0, "V": 50.0}
        return simulate_outputs(one_compartment, values, record.doses, [(0.0, False)])[0]

    told, mended = read_in("1,0,100,mg,iv,8,1,\n"), read_in("1,-8,100,mg,iv,8,1,1\n")
    assert [any("before the steady state" in note for note in r.notes) for r in (told, mended)] == [True, False]
    decline = np.exp(-0.8)
    assert predicted(mended) == pytest.approx([2.0 * decline / (1.0 - decline)], rel=1e-5)
    assert predicted(told) == pytest.approx([0.0], abs=1e-9)
