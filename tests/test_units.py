"""Units: exact factors, round trips, and the traps of clinical unit texts."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayestwin.errors import BayestwinError, ModelError, RecordError
from bayestwin.units import MOLAR_MASS, compatible, convert, known, parse_dose, parse_duration

CONCENTRATIONS = ["g/L", "g/dL", "mg/dL", "mg/L", "ug/mL", "ng/mL", "kg/m^3", "mg/ml", "µg/L"]


@pytest.mark.parametrize(
    ("value", "from_unit", "to_unit", "expected"),
    [
        (3.1, "g/dL", "g/L", 31.0),
        (1.2, "g/dL", "g/L", 12.0),
        (10.0, "mg/dL", "mg/L", 100.0),
        (1.0, "copies/ug", "copies/mg", 1000.0),
        (1200.0, "cells/uL", "10*9/L", 1.2),
        (5.0, "10^3/uL", "10*9/L", 5.0),
        (5.0, "x10^9/L", "1e9/L", 5.0),
        (1.0, "month", "day", 30.4375),
        (2.0, "weeks", "h", 336.0),
        (1.0, "1/h", "1/day", 24.0),
        (50.0, "%", "", 0.5),
        (3.0, "kU/L", "U/L", 3000.0),
        (2.0, "mIU/mL", "IU/L", 2.0),
        (37.0, "degC", "degF", 98.6),
        (1.9, "m2", "cm^2", 19_000.0),
        (200.0, "mg/24h", "mg/day", 200.0),
        (0.2, "g/24 h", "mg/day", 200.0),
        (200.0, "mg/(24.h)", "mg/24 hours", 200.0),
        (10.0, "mg/h", "mg/24h", 240.0),
    ],
)
def test_known_conversions_are_right(value, from_unit, to_unit, expected):
    assert convert(value, from_unit, to_unit) == pytest.approx(expected, rel=1e-14)


def test_factors_of_ten_leave_no_rounding_dust():
    assert convert(1.2, "g/dL", "g/L") == 12.0
    assert convert(0.3, "mg/L", "g/L") == 0.3 / 1000


@given(
    st.floats(1e-6, 1e9),
    st.sampled_from(CONCENTRATIONS),
    st.sampled_from(CONCENTRATIONS),
    st.sampled_from(CONCENTRATIONS),
)
def test_a_round_trip_through_two_units_comes_back(value, a, b, c):
    assert convert(convert(convert(value, a, b), b, c), c, a) == pytest.approx(value, rel=1e-13)


def test_creatinine_converts_between_mass_and_moles_only_with_its_molar_mass():
    mass = MOLAR_MASS["creatinine"]
    assert convert(88.4, "umol/L", "mg/dL", molar_mass=mass) == pytest.approx(1.0, rel=1e-3)
    assert convert(1.0, "mg/dL", "umol/L", molar_mass=mass) == pytest.approx(88.4, rel=1e-3)
    with pytest.raises(RecordError, match="different things.*molar mass"):
        convert(88.4, "umol/L", "mg/dL")


@pytest.mark.parametrize(
    ("a", "b"), [("U/L", "IU/L"), ("copies/ug", "cells/ug"), ("g/L", "g"), ("G/L", "g/L"), ("K/uL", "10*9/L")]
)
def test_things_that_are_not_the_same_do_not_convert(a, b):
    assert known(a) and known(b)
    assert not compatible(a, b)


@pytest.mark.parametrize(
    "unit",
    [
        "gr/L",
        "MG/DL",
        "10e9/L",
        "mg/",
        "(",
        "5 g",
        "g/2",
        "furlongs per",
        "g^9^9^9",
        "10**99999999 g",
        "a" * 60,
        "\x00",
    ],
)
def test_unit_texts_with_two_readings_or_none_are_refused(unit):
    with pytest.raises(RecordError, match="this unit is not known"):
        convert(1.0, unit, "g/L")


@given(st.text(max_size=30))
def test_any_text_as_a_unit_gives_a_number_or_a_record_error(text):
    try:
        assert isinstance(convert(1.0, text, "g/L"), float)
    except RecordError as problem:
        assert str(problem)


def test_a_number_that_is_not_finite_does_not_convert():
    for value in (float("nan"), float("inf")):
        with pytest.raises(RecordError, match="finite"):
            convert(value, "g", "mg")
    with pytest.raises(RecordError, match="too large"):
        convert(1e308, "kg", "ng")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7 days", (7.0, "day")), ("30min", (30.0, "min")), ("1e-05 day", (1e-05, "day")), ("2 mo", (2.0, "month"))],
)
def test_durations_are_read_in_a_clinicians_words(text, expected):
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["7", "days", "7 m", "seven days", "", "7 mg"])
def test_what_is_not_a_duration_says_so(text):
    with pytest.raises(ModelError, match="this is not a duration.*7 days"):
        parse_duration(text)


def test_doses_per_kg_and_per_square_metre_use_the_patients_size():
    assert parse_dose("16 mg/kg", "mg", {"weight_kg": 70.0}) == 1120.0
    assert parse_dose("0.75e6 cells/kg", "cells", {"weight_kg": 80.0}) == pytest.approx(60e6)
    assert parse_dose("450e6 cells", "cells", {}) == 450e6
    assert parse_dose("1.3 mg/m2", "mg", {"bsa_m2": 2.0}) == pytest.approx(2.6)
    assert parse_dose("30 mg/m2", "mg", {"height_cm": 180.0, "weight_kg": 80.0}) == pytest.approx(60.0)
    assert parse_dose("0.5 g", "mg", {}) == 500.0


def test_a_dose_per_kg_without_a_weight_says_what_is_missing():
    with pytest.raises(RecordError, match="weight_kg"):
        parse_dose("16 mg/kg", "mg", {})


@given(st.text(max_size=20))
def test_any_text_as_a_dose_gives_a_number_or_an_error_of_ours(text):
    try:
        assert isinstance(parse_dose(text, "mg", {"weight_kg": 70.0}), float)
    except BayestwinError:
        pass


def test_units_of_time_do_not_import_pint():
    code = "import sys; from bayestwin.units import convert; assert convert(1, 'day', 'h') == 24"
    code += "; assert 'pint' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("unit", "meant"),
    [("MG/L", "mg/L"), ("G/L", "g/L"), ("MG/DL", "mg/dL"), ("UG/L", "ug/L"), ("mG/L", "mg/L")],
)
def test_a_unit_in_other_letters_is_refused_with_the_one_that_is_meant(unit, meant):
    with pytest.raises(RecordError, match=f"Upper and lower case differ in units: is {meant} meant"):
        convert(1.0, unit, "mg/L")


@pytest.mark.parametrize("unit", ["mgg/L", "copies/mL", "MG/X"])
def test_a_unit_that_is_none_in_other_letters_either_gets_no_such_advice(unit):
    with pytest.raises(RecordError) as caught:
        convert(1.0, unit, "mg/L")
    assert "is mg" not in str(caught.value)
