"""A withheld report holds no forecast number: not in the page, not in a figure, not in the JSON."""

import dataclasses
import json
import re

from report_examples import example

from bayestwin.report import make_report
from bayestwin.specification import load_model
from bayestwin.twin.grid import told


def _numbers(value):
    """Every float inside a JSON value, as text with at least four decimals."""
    if isinstance(value, dict):
        return set().union(*map(_numbers, value.values())) if value else set()
    if isinstance(value, list):
        return set().union(*map(_numbers, value)) if value else set()
    return {repr(value)} if isinstance(value, float) and len(repr(value).partition(".")[2]) >= 4 else set()


def test_no_exact_forecast_number_survives_in_json_or_page(made):
    shown, hidden = json.loads(made("example").json), made("withheld")
    forecasts = set().union(
        *(
            _numbers(shown[name])
            for name in ("treatments", "comparisons", "history", "change", "courses", "doubt", "next_information")
        )
    )
    forecasts |= set().union(*(_numbers(lab["forecast_before"]) for lab in shown["labs"]))
    assert len(forecasts) > 200
    assert not [number for number in forecasts if number in hidden.json or number in hidden.html]


def test_no_forecast_sentence_and_no_figure_of_the_future_survives(made):
    hidden = made("withheld")
    assert {entry["template"] for entry in hidden.document["text"]} <= {"T9", "T8plain", "nothing", "frame"}
    assert not re.search(r'id="fig[1257]', hidden.html) and "fig6" in hidden.html
    assert not re.search(r"\babout \d+ (in 100|are)\b|progression-free", hidden.html)


def test_a_withheld_page_says_why_and_what_to_do_and_still_lists_the_data(made):
    hidden = made("withheld")
    assert "No forecast is shown because the numerical check did not pass (islands disagree)" in hidden.html
    assert "Next step: run with more draws or rebuild the twin" in hidden.html
    assert len(hidden.document["labs"]) == len(example().labs) and hidden.document["provenance"]["rows"]


def test_the_withheld_state_shows_its_forecasts_again_when_the_check_passes():
    assert make_report(example()).document["treatments"][0]["landmarks"]


def test_what_a_twin_says_of_a_finer_grid_withholds_no_page():
    """A percentage with decimals failed the page's check of wording: whoever needed a finer grid had no forecast."""
    said = told(load_model("myeloma_car_t"), 2)
    numbers = dataclasses.replace(example().numbers, reasons=said)
    report = make_report(example(numbers=numbers))
    assert said and report.status == make_report(example()).status != "WITHHELD"
