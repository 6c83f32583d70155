"""The finished page: no script, no request, every number has its JSON value, rows in a fixed order, same bytes."""

import dataclasses
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import report_examples
from report_examples import HOSTILE, example, lab

from bayestwin.records import Lab, PatientRecord
from bayestwin.report import json_data, make_report, write_report
from bayestwin.report.checks import FILE_NAME, Page
from bayestwin.report.gather_data import lab_ledger
from bayestwin.report.model import TrackRecord
from bayestwin.report.wording import HEADER

NAMES = ("example", "worst", "hostile", "withheld", "concentration")


@pytest.mark.parametrize("name", NAMES)
def test_every_page_passes_its_own_checks_at_once(made, name):
    report = made(name)
    assert not report.failures and all(passed for _, passed, _ in report.checks()), report.failures


@pytest.mark.parametrize("name", NAMES)
def test_a_page_holds_no_script_and_no_address(made, name):
    html = made(name).html
    assert not re.search(r"<script|<iframe|<img|<link|@import|url\((?!#)|javascript:\s*\w+\(", html)
    assert not re.search(r"https?://", html), "no address at all, not even a namespace"
    assert "default-src &#39;none&#39;" in html


def test_hostile_text_is_printed_literally_and_never_run(made):
    html = made("hostile").html
    assert "&lt;script&gt;alert(1)" in html and "{{7*7}}" in html
    assert "<script" not in html and "\u202e" not in html and "\u0007" not in html
    assert "$x^2$" in html
    assert not Page(html).problems


def test_the_header_stands_on_every_page_in_the_json_and_in_the_notebook_form(made):
    report = made("example")
    assert (
        report.html.count(HEADER) >= 5
        and json.loads(report.json)["intended_use"] == "research_only"
        and HEADER in report._repr_html_()
    )


def test_the_notebook_form_is_small_and_holds_page_one_only(made):
    page = made("example")._repr_html_()
    assert len(page) < 100_000 and 'id="block-6"' in page and 'id="p2"' not in page and "<script" not in page


def test_the_same_input_gives_the_same_bytes():
    first, second = make_report(example()), make_report(example())
    assert first.html == second.html and first.json == second.json


def test_a_full_disk_leaves_neither_half_a_report_nor_half_a_pair(made, tmp_path, monkeypatch):
    whole = Path.write_text

    def full(self, text, **how):
        if ".json" in self.name:
            whole(self, text[:9], **how)
            raise OSError(28, "No space left on device")
        return whole(self, text, **how)

    report = made("example")
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        report.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_rows_stand_current_first_then_by_name_whatever_the_outcome_and_the_input_order(made):
    names = [row["id"] for row in made("example").document["treatments"]]
    assert names == ["ide_cel", "cilta_cel", "dara_pd", "teclistamab"]
    turned = make_report(example(treatments=tuple(reversed(example().treatments))))
    assert [row["id"] for row in turned.document["treatments"]] == names and turned.html == made("example").html


def test_page_one_has_its_blocks_in_order_and_at_most_three_estimated_treatments(made):
    for name in NAMES:
        html = made(name).html
        places = [html.index(f'id="block-{k}"') for k in range(1, 7)]
        assert html.index('class="status') < places[0] and places == sorted(places)
    assert (
        len(
            [
                k
                for k in made("worst").document["page_1"]["rows"]
                if made("worst").document["treatments"][k]["landmarks"]
            ]
        )
        == 3
    )
    assert made("worst").document["page_1"]["further"]


def test_no_95_percent_range_stands_on_page_one(made):
    page = re.sub(r"more than 95|fewer than 95", "", Page(made("example").page_1).text())
    assert "95 %" not in page


def test_a_treatment_outside_its_trial_shows_the_rule_and_no_number(made):
    row = next(row for row in made("example").document["treatments"] if row["id"] == "cilta_cel")
    assert (
        row["support"]["shown"]
        == "not estimated for patients like this: prior BCMA-directed therapy; the trial excluded it"
    )
    assert not row["landmarks"] and row["event_time"] is None


def test_a_difference_without_its_range_over_rho_is_not_shown():
    pair = dataclasses.replace(example().comparisons[0], by_rho=())
    report = make_report(example(comparisons=(pair,)))
    entry = report.document["comparisons"][0]
    assert (
        entry["chance_difference"] is None
        and "assumed correlation" in report.document["text"][int(entry["sentences"][0][6:])]["rendered"]
    )


def test_a_missing_knowledge_range_is_said_with_its_reason_not_faked():
    main = example().treatments[0]
    marks = tuple(
        dataclasses.replace(mark, knowledge=None, knowledge_reason="too few patient draws per population draw")
        for mark in main.landmarks
    )
    report = make_report(example(treatments=(dataclasses.replace(main, landmarks=marks),), comparisons=()))
    assert "range not available" in report.html and "too few patient draws" in report.html and not report.failures


def test_fewer_effective_draws_give_steps_of_ten():
    coarse = make_report(example(numbers=dataclasses.replace(example().numbers, ess=1200.0)))
    assert {mark["step"] for row in coarse.document["treatments"] for mark in row["landmarks"]} == {10}


def test_probabilities_in_the_json_are_exact_and_stand_beside_what_was_printed(made):
    document = json.loads(made("example").json)
    mark = document["treatments"][0]["landmarks"][1]
    exact = example().treatments[0].landmark(12.0)
    assert (
        mark["chance"] == exact.chance
        and mark["knowledge"]["p80"] == list(exact.knowledge[0.8])
        and mark["shown"] == "65"
    )
    assert (
        abs(
            mark["doubt"]["patient"]
            + mark["doubt"]["knowledge"]
            + mark["doubt"]["chance"]
            - exact.chance * (1 - exact.chance)
        )
        < 1e-6
    )
    assert sum(int(word) for word in mark["doubt"]["shown"]) == 100


def test_tables_hold_the_numbers_of_their_figure(made):
    from bayestwin.plots import plot_time_to_event_dots

    row, entry = example().treatments[0], made("example").document["treatments"][0]
    _, rows = plot_time_to_event_dots(
        [{"label": row.label, "dots": row.event.dots, "q": row.event.quantiles}], horizon=36, data=True
    )
    assert rows[0][1] == [dot for dot in entry["event_time"]["dots"] if dot is not None]
    assert entry["event_time"]["after_shown"] == f"{rows[0][2]} of 20"
    course = made("example").document["courses"][0]["rows"][0]
    place = int(np.argmin(np.abs(row.trajectories[0].times - (course["ahead"] + report_examples.CUT))))
    assert course["quantiles"] == [float(value) for value in row.trajectories[0].quantiles[:, place]]


def test_every_lab_refused_row_and_assumption_is_listed(made):
    document = made("example").document
    assert (
        len(document["labs"]) == len(example().labs)
        and len(document["refused"]) == 1
        and len(document["assumptions"]) == 2
    )
    assert {"used", "censored", "late", "corrected", "rejected", "missing"} <= {
        lab["state"] for lab in document["labs"]
    }
    assert next(lab for lab in document["labs"] if lab["state"] == "corrected")["reason_shown"] == " (was 20)"


def test_a_lab_between_two_limits_shows_both(made):
    entry = next(lab for lab in made("example").document["labs"] if "value_to" in lab)
    assert (entry["value"], entry["value_to"], entry["shown"]) == (1.0, 1.5, "1 to 1.5 g/L")
    assert entry["state"] == "used" and "1 to 1.5" in made("example").html
    assert sum("value_to" in lab for lab in made("example").document["labs"]) == 1


def test_the_ledger_of_a_twin_says_what_was_reported_of_each_lab():
    given = (("none", 5.0, None), ("left", 0.5, 0.5), ("right", 90.0, 90.0), ("interval", 5.0, 10.0))
    labs = tuple(Lab(kind, "m_protein", n, v, n, kind, end) for n, (kind, v, end) in enumerate(given))
    model = SimpleNamespace(
        observations=(SimpleNamespace(output="m_protein", unit="g/L", plausible=(0.0, 120.0), positive=False),),
        time_unit="day",
    )
    entries = lab_ledger(SimpleNamespace(model=model, record=PatientRecord("P-1", labs=labs), history=()), None)
    assert [e.shown for e in entries] == ["5", "<0.5", ">90", "5 to 10"]
    assert [e.state for e in entries] == ["used", "censored", "censored", "used"]
    assert [e.upper for e in entries] == [None, None, None, 10.0]
    assert [e.limit for e in entries] == [None, 0.5, 90.0, None]


def test_a_lab_above_its_limit_is_said_and_counted_as_above_it_whatever_its_state():
    """A positive MRD finding is a level above the sensitivity of the test."""
    states = (("<", "censored"), (">", "censored"), (">", "late"), ("<", "corrected"), ("", "used"), (">", "rejected"))
    labs = tuple(
        lab(n, "m_protein", 400.0 + n, 5.0, "g/L", state=state, comparator=side, limit=5.0 if side else None)
        for n, (side, state) in enumerate(states)
    )
    inputs = replace(example(), labs=labs)
    assert [entry["state_shown"] for entry in json_data.labs(inputs)] == [
        "used, below limit",
        "used, above limit",
        "late, used, above limit",
        "corrected, used, below limit",
        "used",
        "rejected",
    ]
    assert json_data.data_counts(inputs).startswith("5 labs used, 2 below limit, 2 above limit, 1 late, 1 corrected")


def test_the_surprise_sentence_says_what_was_expected(made):
    document = made("worst").document
    assert any(
        entry["template"] == "T8" and "before it arrived the model expected" in entry["rendered"]
        for entry in document["text"]
    )


def test_files_have_a_name_that_tells_nothing_of_the_patient(tmp_path):
    report = write_report(example(), tmp_path)
    assert (
        FILE_NAME.match(report.path.name) and FILE_NAME.match(report.json_path.name) and "P-017" not in report.path.name
    )
    other = dataclasses.replace(example(), patient=dataclasses.replace(example().patient, study_key="Q-99"))
    assert make_report(other).name == report.name, "the id comes from the run, not from the study key"
    assert {path.name for path in tmp_path.iterdir()} == {report.path.name, report.json_path.name}
    assert report.path.read_text(encoding="utf-8") == report.html


def test_a_page_with_a_banned_word_is_published_withheld_with_the_failed_check():
    report = make_report(example(assumptions=("This treatment is proven to work.",)))
    assert report.status == "WITHHELD" and report.failures[0][0] == "wording" and "wording" in report.html
    assert not report.document["treatments"][0]["landmarks"]


def test_record_text_with_a_banned_word_does_not_withhold(made):
    assert made("hostile").status == "SHOWN WITH CAUTION" and HOSTILE


def test_a_patient_without_labs_or_treatments_still_gets_a_page():
    report = make_report(example(labs=(), treatments=(), comparisons=(), history=(), refused=()))
    assert report.html.count("Not computable") >= 3 and not report.failures


def test_a_wrong_doubt_is_caught():
    main = example().treatments[0]
    marks = tuple(dataclasses.replace(mark, doubt=(0.1, 0.1, 0.5)) for mark in main.landmarks)
    report = make_report(example(treatments=(dataclasses.replace(main, landmarks=marks),), comparisons=()))
    assert report.status == "WITHHELD" and "shares total one" in dict(report.failures)


@pytest.mark.parametrize(
    "broken, name",
    [
        ("<script>1</script>", "no script, no request"),
        ('<p onclick="x">word</p>', "no script, no request"),
        ('<a href="https://example.org">word</a>', "no script, no request"),
        ('<p style="background:url(http://example.org)">word</p>', "no script, no request"),
        ("<p>65 of them</p>", "every number has its place"),
        ('<p data-path="/status">OTHER</p>', "page and JSON agree"),
        ("<p>a significant result</p>", "wording"),
        ("<h1>again</h1>", "structure"),
        ('<svg role="img" aria-labelledby="a"><title>short</title></svg>', "figures have description and table"),
    ],
)
def test_each_check_sees_the_fault_it_is_for(made, broken, name):
    from bayestwin.report.checks import run_checks

    report = made("example")
    results = {
        check: passed
        for check, passed, _ in run_checks(report.document, report.html.replace("</main>", broken + "</main>"))
    }
    assert not results[name] and sum(not passed for passed in results.values()) == 1


def test_a_track_record_that_was_never_tested_is_not_called_in_order():
    def word(**parts):
        rows = json.loads(make_report(example(**parts)).json)["trust"]["block_5"]
        return next(row["state"] for row in rows if row["row"] == "Track record")

    assert word(track=TrackRecord()) == "not tested"
    assert word(track=TrackRecord("followed twins", 120, 0.8, (0.72, 0.86))) == "in order"


def test_a_chance_that_is_not_shown_for_its_monte_carlo_error_leaves_the_page_whole():
    main, other, *rest = example().treatments
    marks = tuple(dataclasses.replace(mark, mcse=0.2) for mark in other.landmarks)
    report = make_report(example(treatments=(main, dataclasses.replace(other, landmarks=marks), *rest)))
    assert "Monte Carlo error too large" in report.html
    for entry in json.loads(report.json)["treatments"]:  # nor does the table of outcomes give the number away
        shown = {mark["month"] for mark in entry["landmarks"] if mark["chance"] is not None}
        assert {item["month"] for item in entry["outcomes"]} <= shown
        assert entry["label"] != other.label or not entry["outcomes"]


def test_what_was_expected_below_the_assay_limit_is_printed_as_below_it():
    inputs = example()
    at = next(k for k, lab in enumerate(inputs.labs) if lab.output == "m_protein" and lab.forecast_before)
    low = dict(zip(inputs.labs[at].forecast_before, (-0.3, -0.1, 0.2, 0.54, 1.0, 1.5, 2.0)))
    labs = [*inputs.labs]
    labs[at] = dataclasses.replace(labs[at], forecast_before=low)
    entries = json_data.labs(dataclasses.replace(inputs, labs=tuple(labs)))
    (shown,) = [entry["before_shown"] for entry in entries if entry["lab_id"] == labs[at].lab_id]
    assert shown == "0.54 (<0.5 to 1.5) g/L"
