"""What holds for every record and every simulated course: domain knowledge as properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from myeloma_records import MODEL, MYELOMA, code, record_of

from bayestwin.prognosis.endpoint import code_progression
from bayestwin.prognosis.response import response_schema, response_table
from bayestwin.records import PatientRecord, read_records
from bayestwin.specification.load import model_part

IMWG, VISITS = MODEL
PROGRESSION = model_part(MYELOMA, "progression")
LEVELS = st.lists(st.floats(0.0, 60.0), min_size=2, max_size=12)
HALF_LIFE = {"IgG": 13.75, "IgA": 6.0}  # days


def serum_only(values):
    """The coding of a course of serum M-protein alone."""
    v = np.asarray(values, dtype=float)
    return IMWG.code(VISITS.Visits.of(v.shape, serum=v, serum_seen=np.where(np.isnan(v), np.nan, v >= 1.0)))


def progression_by_definition(values):
    """Slowly, straight from the sentence: two consecutive assessments over the lowest level two consecutive reached."""
    for i in range(1, len(values) - 1):
        nadir = min([values[0], *(max(values[j], values[j + 1]) for j in range(i - 1))])
        rises = [values[i] - nadir, values[i + 1] - nadir]
        if all((r >= 5.0 - 1e-7 and r >= 0.25 * nadir - 1e-7) or (nadir >= 50.0 and r >= 10.0 - 1e-7) for r in rises):
            return i
    return -1


@given(LEVELS)
def test_progression_is_what_the_definition_says_and_needs_two_visits(values):
    values = [round(v, 1) for v in values]
    found = serum_only(values).progressed
    assert found.at == progression_by_definition(values)
    if found.at >= 0:
        assert found.met[found.at] and found.met[found.at + 1]
        assert serum_only(values[: found.at + 1]).progressed.at == -1


def test_the_rules_of_the_model_s_forecast_are_those_of_the_criteria():
    """One set of numbers; the forecast's rule of light chains says >= 100 where the IMWG says > 100 mg/L."""
    serum, chains = (MYELOMA.progression.rule_for({"isotype": i}) for i in ("IgG", "light_chain"))
    assert serum == PROGRESSION.SERUM
    assert (chains.relative, chains.absolute) == (PROGRESSION.LIGHT_CHAINS.relative, PROGRESSION.LIGHT_CHAINS.absolute)
    values = np.random.default_rng(2).gamma(3.0, 8.0, (3000, 14))
    forecast = code_progression(values, serum, first_valid=1, confirmations=2)
    assert (serum_only(values).progressed.at == forecast).all() and (forecast > 0).mean() > 0.3


@pytest.mark.parametrize("isotype", HALF_LIFE)
def test_complete_kill_gives_pr_after_one_half_life_and_vgpr_after_log2_of_ten(isotype):
    """IgG: PR on day 13.75, VGPR on day 46, and not in VGPR on day 28; IgA: days 6 and 20."""
    half_life, step = HALF_LIFE[isotype], 0.25
    times = np.arange(0.0, 90.0, step)
    coded = IMWG.code(VISITS.simulated_visits(30.0 * 0.5 ** (times / half_life), seen=0.5))
    assert times[coded.response_at] == half_life
    first = times[np.argmax(coded.confirmed >= IMWG.VGPR)]
    assert first - step < half_life * np.log2(10) <= first
    assert round(first) == {"IgG": 46, "IgA": 20}[isotype]
    assert (coded.depth[times == 28.0] >= IMWG.VGPR) == (isotype == "IgA")


def course(t, p0, k_p, k_s, f, g):
    """M-protein under kill k_s of all but a fraction f that grows at g, turning over at k_p (closed form)."""

    def part(share, rate):  # response of P' = k_p (P0 share exp(rate t) - P)
        return share * k_p / (k_p + rate) * (np.exp(rate * t) - np.exp(-k_p * t))

    return p0 * (np.exp(-k_p * t) + part(1.0 - f, -k_s) + part(f, g))


@settings(max_examples=25)
@given(st.floats(10.0, 80.0), st.floats(0.02, 0.15), st.floats(0.003, 0.4), st.floats(0.0, 0.5), st.floats(0.004, 0.02))
def test_without_a_resistant_fraction_there_is_never_serological_progression(p0, k_p, k_s, f, g):
    if abs(k_p - k_s) < 1e-3:
        k_s += 5e-3
    t = np.arange(0.0, 3000.0, 28.0)
    assert IMWG.code(VISITS.simulated_visits(course(t, p0, k_p, k_s, 0.0, g))).progressed.at == -1
    if f > 1e-3:  # and with one there is, sooner or later
        assert IMWG.code(VISITS.simulated_visits(course(t, p0, k_p, k_s, f, g))).progressed.at > 0


COMPLETE = {"m": "<0.5", "ifs": "-", "ifu": "-"}


@given(st.lists(st.sampled_from("+-"), min_size=1, max_size=8))
def test_immunofixation_after_complete_response_never_makes_progression(signs):
    visits = [{"day": 0, "m": 30}, {"day": 28, "bm": 2, **COMPLETE}, {"day": 56, **COMPLETE}]
    visits += [{"day": 84 + 28 * k, "m": "<0.5", "ifs": sign, "ifu": "-"} for k, sign in enumerate(signs)]
    found = code({"visits": visits})
    assert found.best == "CR" and not found.endpoint("PFS").event and not found.endpoint("TTP").event
    assert found.endpoint("DFS").event == ("++" in "".join(signs))


@given(LEVELS, st.integers(0, 11), st.floats(0.0, 1.0))
def test_less_protein_is_never_a_shallower_response(values, at, share):
    values, at = np.array([max(values[0], 10.0), *values[1:]]), max(at % len(values), 1)
    less = values.copy()
    less[at] *= share
    assert serum_only(less).depth[at] >= serum_only(values).depth[at]


DAY = [{"m": 12.0}, {"m": 16.0}, {"u": 150.0}, {"ifs": "+"}, {"ifs": "-"}, {"bm": 20.0}, {"bm": 4.0}, {"spd": 3.0}]


@given(st.permutations(DAY), st.permutations(DAY))
def test_the_order_of_the_labs_of_one_day_does_not_matter(first, second):
    def table(order):
        visits = [{"day": 0, "m": 30, "u": 500, "spd": 9}, *({"day": 28, **lab} for lab in order), {"day": 56, "m": 9}]
        return str(code({"visits": visits}))

    assert table(first) == table(second)


ROWS = "patient,time,output,value,unit\n"
IN_LITRES = (
    ROWS + "A,0,m_protein,31,g/L\nA,28,m_protein,3.1,g/L\nA,56,m_protein,3.1,g/L\nA,84,urine_m_protein,0.4,g/24h\n"
)
IN_DECILITRES = (
    ROWS + "A,0,m_protein,3.1,g/dL\nA,28,m_protein,0.31,g/dL\nA,56,m_protein,310,mg/dL\nA,84,urine_m_protein,400,mg/d\n"
)


def test_grams_per_litre_and_per_decilitre_give_the_same(tmp_path):
    (tmp_path / "events.csv").write_text("patient,time,event,value\nA,0,line_of_therapy,teclistamab\n")
    tables = []
    for text in (IN_LITRES, IN_DECILITRES):
        (tmp_path / "labs.csv").write_text(text)
        files = {name: tmp_path / f"{name}.csv" for name in ("labs", "events")}
        reading = read_records(response_schema(MYELOMA), **files)
        assert not reading.refusals, reading.summary()
        tables.append(str(response_table(MYELOMA, reading.cohort["A"])))
    assert tables[0] == tables[1] and "VGPR" in tables[0]


@given(st.lists(st.tuples(st.floats(0.0, 40.0), st.integers(0, 2)), min_size=1, max_size=8))
def test_visits_at_which_nothing_was_measured_change_nothing(course_with_gaps):
    values, wide, place = [30.0], [30.0], [0]
    for value, gap in course_with_gaps:
        wide += [np.nan] * gap + [value]
        values, place = [*values, value], [*place, len(wide) - 1]
    close, far = serum_only(values), serum_only(wide)
    assert far.depth[place].tolist() == close.depth.tolist()
    assert far.confirmed[place].tolist() == close.confirmed.tolist()
    assert far.progressed.at == (place[close.progressed.at] if close.progressed.at >= 0 else -1)


def test_a_record_in_another_order_is_the_same_record():
    record = record_of({"visits": [{"day": 0, "m": 30}, {"day": 28, "m": 14}, {"day": 56, "m": 12}]})
    turned = PatientRecord("Case", labs=record.labs[::-1], events=record.events)
    assert str(response_table(MYELOMA, turned)) == str(response_table(MYELOMA, record))
