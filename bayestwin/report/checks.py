"""Checks on the finished page (the fast part of report_spec 5.1). A page that fails one is published withheld.

They read the rendered HTML (page_reader.py), so they hold whatever the templates do.
"""

import re
from collections import Counter

from bayestwin.report.page_reader import Page
from bayestwin.report.wording import HEADER, banned_words

FILE_NAME = re.compile(r"^bt_[0-9a-f]{12}_[0-9]{8}_v[0-9]+\.[a-z]{2,4}$")


def run_checks(document: dict, html: str, file_names=()) -> tuple[tuple[str, bool, str], ...]:
    """(name, passed, detail) for each check."""
    page = Page(html)
    checks = [
        _inert(page, html),
        _wording(page),
        _ranges(page, document),
        _limits(document),
        _research(page, html),
        _orphans(page),
        _agree(page, document),
        _withheld(page, document),
        _shares(document),
        _figures(page),
        _structure(page),
        _names(file_names),
    ]
    return tuple((name, not details, "; ".join(details[:5])) for name, details in checks)


def failed(checks) -> tuple[str, ...]:
    """Names of the checks that did not pass."""
    return tuple(name for name, passed, _ in checks if not passed)


def _inert(page, html):
    more = (
        []
        if "default-src 'none'" in html.replace("&#39;", "'") or "<html" not in html
        else ["no content security policy"]
    )
    return "no script, no request", page.problems + more


def _wording(page):
    return "wording", banned_words(page.text())


def _ranges(page, document):
    """No chance without a range or the reason for its absence; no difference without range and rho.

    On the page a chance and its other frame ("not, at 12") are printed at most as often as their range.
    """
    printed = Counter(path for path, _ in page.elements)
    found = [
        f"{path} printed without its range"
        for path, times in printed.items()
        if re.search(r"landmarks/\d+/(other_)?shown$", path)
        and times > printed[re.sub(r"(other_)?shown$", "range_shown", path)]
    ]
    for row in document["treatments"]:
        found += [
            f"{row['id']} at {mark['month']:g}: no range"
            for mark in row["landmarks"] + row["infusion_landmarks"] + row["progression_landmarks"]
            if not mark["range_shown"]
        ]
    found += [
        f"{pair['b']} minus {pair['a']}: no range"
        for pair in document["comparisons"]
        if pair["chance_difference"] and not (pair["chance_difference"]["p80"] and pair["by_rho"])
    ]
    return "every chance has its range", found


def _limits(document):
    """50 in 80 in 95, and no time past the horizon."""
    found, horizon = [], document["clock"]["horizon_mo"]
    for row in document["treatments"]:
        for name in ("event_time", "progression_time"):
            times = [time for time in row[name]["dots"] if time is not None] if row[name] else []
            found += [f"{row['id']}: dot past the horizon"] if times and max(times) > horizon else []
        for mark in row["landmarks"]:
            levels = sorted((int(level[1:]), limits) for level, limits in (mark["knowledge"] or {}).items())
            for (_, inner), (_, outer) in zip(levels, levels[1:]):
                if inner[0] < outer[0] - 1e-12 or inner[1] > outer[1] + 1e-12:
                    found.append(f"{row['id']} at {mark['month']:g}: ranges not nested")
    return "limits nested and inside the horizon", found


def _research(page, html):
    sections = len(re.findall(r'<section class="sheet"', html))
    return "research use only on every page", [] if page.text().count(HEADER) >= sections > 0 else [
        "header text missing"
    ]


def _orphans(page):
    return "every number has its place", [
        data.strip()[:40] for data, path, _, tag in page.texts if path is None and re.search(r"\d", data)
    ]


def _agree(page, document):
    """The text at every data-path is the JSON value at that path."""
    found = []
    for path, pieces in page.elements:
        value = document
        try:
            for part in path.strip("/").split("/"):
                value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            found.append(f"no value at {path}")
            continue
        if isinstance(value, (str, int, float)) and "".join(pieces).split() != str(value).split():
            found.append(f"{path} differs")
    return "page and JSON agree", found


def _withheld(page, document):
    if document["status"] != "WITHHELD":
        return "withheld shows no forecast", []
    found = [
        name for name in ("comparisons", "history", "next_information", "comparators", "courses") if document[name]
    ]
    found += [
        f"{row['id']}: forecast kept"
        for row in document["treatments"]
        if row["landmarks"] or row["event_time"] or row["outcomes"] or row["response"]
    ]
    found += [
        f"lab {lab['lab_id']}: forecast kept"
        for lab in document["labs"]
        if lab["forecast_before"] or lab["moved_chance"] is not None
    ]
    found += (
        ["a figure of the future"]
        if any(
            "fig1" in svg.get("aria-labelledby", "") or "fig2" in svg.get("aria-labelledby", "") for svg in page.svgs
        )
        else []
    )
    return "withheld shows no forecast", found


def _shares(document):
    found = []
    for row in document["treatments"]:
        for mark in row["landmarks"]:
            if mark["doubt"]:
                total = mark["doubt"]["patient"] + mark["doubt"]["knowledge"] + mark["doubt"]["chance"]
                if abs(total - mark["chance"] * (1 - mark["chance"])) > 1e-6:
                    found.append(f"{row['id']} at {mark['month']:g}: doubt {total:.4f} is not p(1-p)")
        found += [
            f"{row['id']} at {item['month']:g}: outcomes total {item['free'] + item['progressed'] + item['died']:.4f}"
            for item in row["outcomes"]
            if abs(item["free"] + item["progressed"] + item["died"] - 1) > 1e-6
        ]
    return "shares total one", found


def _figures(page):
    found = [
        svg.get("aria-labelledby", "svg")
        for svg in page.svgs
        if len(svg["text"]) < 60 or svg.get("aria-details", "") not in page.ids
    ]
    return "figures have description and table", found


def _structure(page):
    found = [f"id {name} twice" for name in sorted(page.ids) if page.ids.count(name) > 1][:3]
    return "structure", found + ([] if page.tags.get("h1", 0) == 1 else ["not exactly one h1"])


def _names(file_names):
    return "file names", [name for name in file_names if not FILE_NAME.match(name)]
