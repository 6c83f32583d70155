"""Numbers of a page are as fine as their own Monte Carlo errors allow."""

import dataclasses

from report_examples import example

from bayestwin.report import make_report
from bayestwin.report.model import EventErrors, Outcomes, PastForecast


def test_outcomes_and_history_are_printed_in_the_steps_of_their_error_with_their_range():
    main, *rest = example().treatments
    marks = tuple(dataclasses.replace(mark, chance=0.737, mcse=0.02, doubt=None) for mark in main.landmarks)
    outcomes = (Outcomes(6.0, 0.737, 0.160, 0.103),)
    past = (
        PastForecast(0.0, "day 0", 0.737, (0.6, 0.83), mcse=0.02),
        PastForecast(9.0, "day 9", 0.737, None, mcse=0.01),
    )
    row = dataclasses.replace(main, landmarks=marks, outcomes=outcomes)
    report = make_report(example(treatments=(row, *rest), history=past))
    assert not report.failures
    entry = report.document["treatments"][0]
    assert entry["landmarks"][0]["shown"] == entry["outcomes"][0]["shown"][0] == "70"
    assert entry["outcomes"][0]["shown"] == ["70", "20", "10"]
    assert entry["outcomes"][0]["range_shown"] == entry["landmarks"][0]["range_shown"]
    assert [point["shown"] for point in report.document["history"]] == ["70 (60 to 90)", "75 (range not available)"]


def test_pairs_and_differences_are_as_fine_as_their_own_monte_carlo_error_allows():
    pair = dataclasses.replace(example().comparisons[0], pairs=(0.55, 0.31, 0.14), mcse=0.005)
    shown = []
    for error in (0.005, 0.02, 0.04):
        one = dataclasses.replace(pair, pairs_mcse=(error, 0.004, 0.003))
        shown.append(make_report(example(comparisons=(one,))).document["comparisons"][0].get("pairs_shown"))
    assert shown == [["30", "55", "15"], ["30", "60", "10"], None]
    far = dataclasses.replace(pair, mcse=0.04)
    assert make_report(example(comparisons=(far,))).document["comparisons"][0]["withheld"].startswith("the Monte Carlo")


def test_times_and_dots_are_as_fine_as_their_own_monte_carlo_error_allows():
    main, *rest = example().treatments
    levels, dots = tuple(main.event.quantiles), main.event.dots
    after = sum(dot == float("inf") for dot in dots)
    seen, figures = {}, {}
    for months, share in ((0.2, 0.01), (0.6, 0.02), (4.0, 0.04)):
        errors = EventErrors(dict.fromkeys(levels, months), (months,) * 20, share, share)
        row = dataclasses.replace(main, event=dataclasses.replace(main.event, errors=errors))
        report = make_report(example(treatments=(row, *rest)))
        assert not report.failures
        figures[months] = report.html
        entry = report.document["treatments"][0]["event_time"]
        assert entry["mcse"]["quantiles"]["q50"] == months and entry["mcse"]["after_horizon"] == share
        said = report.document["text"][int(entry["sentences"][0].split("/")[-1])]["template"]
        seen[months] = (entry["middle_half_shown"], entry["after_shown"], entry["dots_shown"][0], said)
    fine, coarse, none = seen.values()
    assert fine[1] == f"{after} of 20" and fine[3] != "T2few"
    assert all(int(word) % 3 == 0 for word in coarse[0].removeprefix("more than ").split(" to ") if word.isdigit())
    assert coarse[1] == f"{after - 1} to {after + 1} of 20" and coarse[3] != "T2few"
    lanes = [figures[months].split('id="fig1-desc"')[-1].split("</svg>")[0] for months in seen]
    assert f"{after - 1} to {after + 1} of 20" in lanes[1]  # as the table has it
    assert "Ide-cel (current)" in lanes[0] and "Ide-cel" not in lanes[2]  # times that are not shown are not drawn
    assert none == ("not shown", f"{after - 2} to {after + 2} of 20", "not shown", "T2few")


def test_outcomes_are_as_fine_as_their_own_monte_carlo_error_allows():
    main, *rest = example().treatments
    shown = []
    for error in (0.01, 0.02, 0.04):
        outcomes = (Outcomes(6.0, 0.737, 0.160, 0.103, error),)
        report = make_report(example(treatments=(dataclasses.replace(main, outcomes=outcomes), *rest)))
        assert not report.failures
        shown.append(report.document["treatments"][0]["outcomes"][0]["shown"])
    assert shown == [["75", "15", "10"], ["70", "20", "10"], ["75", "not shown", "not shown"]]


def test_months_gained_and_differences_by_rho_are_as_fine_as_their_own_monte_carlo_errors_allow():
    pair = dataclasses.replace(
        example().comparisons[0], months_gained=4.4, months_gained_p80=(-1.2, 9.9), difference=0.14, p80=(0.0, 0.3)
    )
    gained = []
    for error in (0.1, 0.5, 4.0):
        report = make_report(example(comparisons=(dataclasses.replace(pair, months_gained_mcse=error),)))
        assert not report.failures
        entry = report.document["comparisons"][0]["months_gained"]
        gained.append((entry["shown"], entry["range_shown"]))
    assert gained == [("+4", "\u22122 to +10"), ("+3", "\u22123 to +12"), ("not shown", "not shown")]
    by_rho = dataclasses.replace(pair, mcse=0.005, by_rho_mcse=(0.02,) * len(pair.by_rho))
    entry = make_report(example(comparisons=(by_rho,))).document["comparisons"][0]
    assert entry["chance_difference"]["shown"] == "+10" and entry["chance_difference"]["mcse"] == 0.005
