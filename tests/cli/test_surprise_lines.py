"""What `update` prints of a lab: unit, day, and a range that the assay could show."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bayestwin.cli.surprise_lines import question_line, surprise_line
from bayestwin.specification import load_model

MYELOMA, THEOPHYLLINE = load_model("myeloma_car_t"), load_model("theophylline")


def lab(output, time, value, low, high, **more):
    given = {"censoring": "none", "upper": None, "tenfold_power": None, "alarm": "", "pit": 0.5, "tail": 0.5} | more
    return SimpleNamespace(
        output=output, time=time, value=value, quantiles={0.025: low, 0.975: high}, **given
    )  # fmt: skip


@pytest.mark.parametrize("given, said", [
    (("m_protein", 77.0, 8.2, -0.01265, 67.73), "m_protein at day 77: 8.2 g/L, expected below 0.5 to 67.7 g/L (95 %)"),
    (("m_protein", 77.0, 0.6, -0.3, 0.4), "m_protein at day 77: 0.6 g/L, expected below 0.5 g/L (95 %)"),
    (("transgene", 66.0, 508000.0, 5842.0, 2.61e6),
     "transgene at day 66: 508,000 copies/ug, expected 5,840 to 2,610,000 copies/ug (95 %)"),
])  # fmt: skip
def test_a_lab_stands_with_its_unit_beside_a_range_that_its_assay_can_show(given, said):
    assert surprise_line(MYELOMA, lab(*given)) == said


def test_without_a_limit_of_quantification_no_negative_concentration_is_expected():
    unlimited = THEOPHYLLINE.observations[0]
    model = SimpleNamespace(
        time_unit="h", observations=(replace(unlimited, lower_limit=None),), observation_index={"concentration": 0}
    )
    said = surprise_line(model, lab("concentration", 24.0, 0.4, -0.8, 2.0))
    assert said == "concentration at hour 24: 0.4 mg/L, expected 0 to 2 mg/L (95 %)"


def test_a_limit_and_an_interval_are_repeated_as_reported():
    assert ": <0.5 g/L, exp" in surprise_line(MYELOMA, lab("m_protein", 7.0, 0.5, 1.0, 2.0, censoring="left"))
    assert ": 5 to 10 g/L, exp" in surprise_line(MYELOMA, lab("m_protein", 7.0, 5.0, 1.0, 2.0, upper=10.0))


@pytest.mark.parametrize(
    ("pit", "alarm", "said"),
    [
        (0.5, "", ""),
        (0.006, "", ""),
        (0.002, "", "outside what was expected, 1 in 500 would be so low: check sample, unit and time"),
        (1.0, "", "outside what was expected, fewer than 1 in 4,000 would be so high: check"),
        (0.02, "ten times too low", "more likely ten times too low than right: ask for sample and unit"),
    ],
)
def test_a_surprising_lab_is_asked_about_whether_or_not_it_looks_tenfold(pit, alarm, said):
    """The lab is named again, since the question goes to another stream."""
    odd = lab("m_protein", 9.0, 1.0, 2.0, 3.0, pit=pit, tail=min(pit, 1.0 - pit), alarm=alarm)
    asked = question_line(MYELOMA, odd)
    assert asked.startswith(f"m_protein at day 9: {said}") if said else not asked


def test_a_forecast_too_wide_to_notice_a_tenfold_error_says_how_many_it_would():
    lines = [surprise_line(MYELOMA, lab("m_protein", 9.0, 1.0, 2.0, 3.0, tenfold_power=p)) for p in (0.624, 0.95, None)]
    assert lines[0].endswith("(95 %); so wide that of errors by a factor of ten 62 in 100 would be noticed")
    assert all(line.endswith("(95 %)") for line in lines[1:])
