"""The report's figures: plain values in, inline SVG out. matplotlib is imported when the first figure is drawn.

Each figure has a title that asks its question, a description with its main numbers, and a table on the same page.
"""

import math

import numpy as np

from bayestwin.report.json_forecasts import estimated
from bayestwin.report.model import ReportInput
from bayestwin.report.rounding import NOT_SHOWN, step_for
from bayestwin.report.tables import COURSE_MONTHS
from bayestwin.report.warnings import months
from bayestwin.report.wording import short_label, shorten

PANEL_MM, GAP_MM = 38.0, 8.5


def draw_all(inputs: ReportInput, document: dict) -> dict[str, str]:
    """SVG text by figure name; a figure that cannot be drawn is absent."""
    drawn = {}
    for draw in (_time_to_event, _doubt, _courses, _history, _surprise):
        drawn.update(draw(inputs, document))
    return drawn


def _svg(ax, key, title, description, details):
    from bayestwin.plots.svg import to_svg

    return to_svg(ax.figure, key=key, title=title, description=description, details=details)


def _time_to_event(inputs, document):
    from bayestwin.plots import plot_time_to_event_dots

    rows = [document["treatments"][k] for k in document["page_1"]["rows"]]
    rows = [row for row in rows if row["event_time"] and row["event_time"]["middle_half_shown"] != NOT_SHOWN]
    sources = inputs.ordered_treatments()
    lanes = [
        {
            "label": f"{row['label_short']} ({row['role']})",
            "dots": sources[row["place"]].event.dots,
            "died": sources[row["place"]].event.dot_died,
            "q": sources[row["place"]].event.quantiles,
            "after": row["event_time"]["after_shown"],
            "style": row["style"],
        }
        for row in rows
    ]
    if not lanes:
        return {}
    ax = plot_time_to_event_dots(lanes, horizon=inputs.clock.horizon_months, clock=inputs.clock.data_cut, dots_mm=7.0)
    shown = "; ".join(
        f"{row['label']}: middle half {row['event_time']['middle_half_shown']} months, "
        f"{row['event_time']['after_shown']} dots later than "
        f"the horizon"
        for row in rows
    )
    description = f"Quantile dotplot with 20 dots per treatment, each dot 5 of 100 patients. {shown}."
    return {"time_to_event": _svg(ax, "fig1", document["captions"]["fig_1_title"], description, "table-1")}


def _doubt(inputs, document):
    from bayestwin.plots import plot_doubt

    doubt = document["doubt"]
    if doubt is None:
        return {}
    ax = plot_doubt((doubt["patient"], doubt["knowledge"], doubt["chance"]), shown=doubt["shown"])
    description = (
        "Stacked bar of three parts of the doubt about the chance at 12 months: this patient {} %, knowledge of the "
        "treatment {} %, "
        "chance {} %."
    ).format(*doubt["shown"])
    return {"doubt": _svg(ax, "fig7", document["captions"]["fig_7_title"], description, "table-doubt")}


def lab_marks(inputs: ReportInput, output: str) -> list[dict]:
    """Labs of one output as plots.marks.draw_labs wants them (x in months, or in hours for a PK twin)."""
    marks = []
    for lab in inputs.labs:
        if lab.output == output:
            before = lab.forecast_before or {}
            marks.append(
                {
                    "x": _axis_time(inputs, lab.time),
                    "value": lab.value,
                    "state": lab.state,
                    "comparator": lab.comparator,
                    "limit": lab.limit,
                    "upper": lab.upper,
                    "assay_sd": lab.assay_sd,
                    "old_value": lab.old_value,
                    "letter": lab.reason_letter,
                    "before": (before[0.1], before[0.9]) if 0.1 in before and 0.9 in before else None,
                }
            )
    return marks


def _axis_time(inputs, time):
    return time if inputs.clock.time_unit == "h" else months(inputs, time)


def _courses(inputs, document):
    from bayestwin.plots import plot_individual, plot_marker_course
    from bayestwin.plots.marker_course import course_range
    from bayestwin.plots.style import new_panels, quiet_style

    hours, drawn = inputs.clock.time_unit == "h", {}
    for k, table in enumerate(document["courses"]):
        output = next(item for item in inputs.outputs if item.name == table["output"])
        rows = [
            (place, row, course)
            for place, row in enumerate(inputs.ordered_treatments())
            for course in row.trajectories
            if course.output == output.name and estimated(row)
        ]
        labs = lab_marks(inputs, output.name)
        span = _span(inputs, rows, labs)
        ends = {"limit": output.limit, "highest": output.highest, "scale": output.scale}
        y_range = course_range([_seen(inputs, course, span) for _, _, course in rows], labs, **ends)
        with quiet_style():
            panels = new_panels(186.0, [PANEL_MM] * len(rows), left=15, right=3, bottom=9, top=6, gap=GAP_MM)
        cut = _axis_time(inputs, inputs.clock.data_cut_time)
        events = _event_marks(inputs)
        for number, (ax, (place, row, course)) in enumerate(zip(panels, rows)):
            shared = {
                "scale": output.scale,
                "cut": cut,
                "samples": course.samples,
                "labs": labs,
                "limit": output.limit,
                "label": output.label,
                "unit": output.unit,
                "treatment": f"{short_label(row.label)} ({row.role})",
                "style": document["treatments"][place]["style"],
                "y_range": y_range,
                "span": span,
                "ax": ax,
                "last_panel": number == len(rows) - 1,
            }
            times = [_axis_time(inputs, time) for time in course.times]
            if hours:
                plot_individual(times, course.quantiles, doses=events, time_unit="h", **shared)
            else:
                plot_marker_course(
                    times, course.quantiles, events=events, reference_lines=output.reference_lines, **shared
                )
        last = [row for row in table["rows"]]
        description = (
            f"Course of {output.label} in {output.unit}, history and forecast, one panel per treatment. "
            + " ".join(
                f"{row['treatment']} after {row['when_shown']}: {row['middle_shown']} (80 % {row['p80_shown']})."
                for row in last[-1:] + last[:1]
            )
        )
        drawn[f"course-{k}"] = _svg(
            panels[0],
            f"fig2x{k}",
            f"How could {output.label} go on under each treatment?",
            description,
            f"table-course-{k}",
        )
    return drawn


def _seen(inputs, course, span):
    """The part of a course inside the drawn span."""
    inside = [_axis_time(inputs, float(time)) <= span[1] for time in course.times]
    return np.asarray(course.quantiles)[:, inside]


def _span(inputs, rows, labs):
    times = [_axis_time(inputs, float(time)) for _, _, course in rows for time in (course.times[0], course.times[-1])]
    ahead = (
        max(times) if inputs.clock.time_unit == "h" else _axis_time(inputs, inputs.clock.data_cut_time) + COURSE_MONTHS
    )
    return min(times + [lab["x"] for lab in labs]), min(max(times), ahead)


def _event_marks(inputs):
    return [(_axis_time(inputs, event.time), shorten(event.label, 22)) for event in inputs.events]


def _history(inputs, document):
    from bayestwin.plots import plot_forecast_history

    past = sorted(inputs.history, key=lambda item: item.time)
    if not past:
        return {}
    ax = plot_forecast_history(
        [months(inputs, item.time) for item in past],
        [item.chance if step_for(item.mcse) else None for item in past],
        [item.p80 for item in past],
        versions=[item.version for item in past],
        gaps=["no number" if item.reason else "withheld" for item in past],
        events=_event_marks(inputs),
        height_mm=44,
    )
    shown = "; ".join(f"{row['when']}: {row['shown']}" for row in document["history"])
    return {
        "history": _svg(
            ax,
            "fig5",
            document["captions"]["fig_5_title"],
            f"Step line of the chance of 100 at 12 months at each report. {shown}.",
            "table-history",
        )
    }


def _surprise(inputs, document):
    from bayestwin.plots import plot_surprise

    lanes, outside = [], 0
    for output in inputs.outputs:
        seen = sorted(
            (lab for lab in inputs.labs if lab.output == output.name and lab.pit is not None),
            key=lambda lab: (lab.known_time, lab.time),
        )
        points = [(lab.pit_drawn if lab.pit_drawn is not None else float(np.mean(lab.pit)), lab.new) for lab in seen]
        points = [point for point in points if math.isfinite(point[0])]
        outside += sum(not 0.005 <= value <= 0.995 for value, _ in points)
        if points:
            lanes.append((shorten(output.label, 27), points))
    if not lanes:
        return {}
    ax = plot_surprise(lanes)
    total = sum(len(points) for _, points in lanes)
    description = (
        f"One dot per lab at its probability when it arrived, from lower to higher than expected: {total} "
        f"labs, {outside} in the shaded ends, 1 in 100 expected."
    )
    return {"surprise": _svg(ax, "fig6", document["captions"]["fig_6_title"], description, "table-labs")}
