"""The column `order`: a lab before or after a dose of its time, in whichever readings the two arrive."""

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
