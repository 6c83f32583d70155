"""Write one report: HTML for people, JSON for machines, checked before it is published.

    write_report(report_input, folder) -> Report

The page is built under a temporary name, checked (checks.py), then moved to its own name; a page that fails a
check is published as WITHHELD with the failed checks as its reason. Same input, same bytes.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from bayestwin.errors import refuse_other
from bayestwin.report.checks import run_checks
from bayestwin.report.figures import draw_all
from bayestwin.report.html import render
from bayestwin.report.json_export import build_document, file_stem, prepare, to_json
from bayestwin.report.model import ReportInput


@dataclass(frozen=True)
class Report:
    """A finished report.

    html, json : the two texts; page_1 : page 1 alone, for notebooks; status : SHOWN, SHOWN WITH CAUTION or WITHHELD
    name : file name without ending; path, json_path : where it lies, None until saved
    failures : (check, detail) that withheld a first version of this page
    """

    name: str
    status: str
    html: str
    json: str
    page_1: str
    document: dict
    path: Path | None = None
    json_path: Path | None = None
    failures: tuple[tuple[str, str], ...] = ()

    def save(self, folder) -> "Report":
        """Write both files into `folder` and return the report with its paths.

        Both under temporary names first: on a full disk there is neither half a report nor half a pair.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        texts = {folder / f"{self.name}.html": self.html, folder / f"{self.name}.json": self.json}
        drafts = {target: target.with_name(f"{target.name}.part") for target in texts}
        try:
            for target, text in texts.items():
                drafts[target].write_text(text, encoding="utf-8", newline="\n")
            for target, draft in drafts.items():
                os.replace(draft, target)
        finally:
            for draft in drafts.values():
                draft.unlink(missing_ok=True)
        page, document = texts
        return Report(**{**self.__dict__, "path": page, "json_path": document})

    def checks(self):
        """(name, passed, detail) of every check on the published page."""
        return run_checks(self.document, self.html, (f"{self.name}.html", f"{self.name}.json"))

    def __repr__(self):
        return f"Report({self.name}, {self.status}, research use only)"

    def _repr_html_(self):
        return self.page_1


def make_report(inputs: ReportInput) -> Report:
    """The report in memory, checked; nothing is written."""
    report = _make(inputs, ())
    problems = tuple((name, detail) for name, passed, detail in report.checks() if not passed)
    if not problems:
        return report
    second = _make(inputs, tuple(name for name, _ in problems))
    return Report(**{**second.__dict__, "failures": problems})


def write_report(inputs: ReportInput, folder) -> Report:
    """Make, check and save one report.

    Parameters
    ----------
    inputs : ReportInput    plain values (report/model.py)
    folder : path           made if absent; holds bt_<id>_<date>_v<number>.html and .json

    Returns
    -------
    Report
    """
    wanted = "a ReportInput: bayestwin.report.inputs.gather_report_input(twin, prognosis)"
    refuse_other(inputs, "write_report, inputs", wanted, "patient", "numbers")
    return make_report(inputs).save(folder)


def _make(inputs: ReportInput, failures) -> Report:
    prepared, warned, state = prepare(inputs, failed=failures)
    document = build_document(prepared, warned, state)
    figures = draw_all(prepared, document)
    page_1 = render(
        document,
        {
            name: figures[name]
            for name in figures
            if name in ("time_to_event", "doubt") or not document["page_1"]["months"]
        },
        template="page_1_only.html.j2",
    )
    return Report(
        name=file_stem(prepared),
        status=state,
        html=render(document, figures),
        json=to_json(document),
        page_1=page_1,
        document=document,
    )
