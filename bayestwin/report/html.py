"""The document as one HTML page: static, without script or request, everything escaped.

Every printed value is a pointer into the document (`data-path`), so that page and JSON cannot differ: templates
hold words and places, never numbers.
"""

from functools import cache
from pathlib import Path

from bayestwin.report.wording import NOT_ESTIMATED

CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"
SHAPES = {
    "SHOWN": "circle",
    "in order": "circle",
    "not tested": "circle",
    "SHOWN WITH CAUTION": "triangle",
    "caution": "triangle",
    "WITHHELD": "square",
    "withheld": "square",
}


@cache
def _environment():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(document: dict, figures: dict[str, str], *, template: str = "report.html.j2") -> str:
    """HTML text of the whole report, or of page 1 alone (`page_1_only.html.j2`, for notebooks)."""
    from markupsafe import Markup, escape

    def find(*parts):
        value = document
        for part in parts:
            value = value[part]
        return value

    def v(*parts):
        return Markup('<bdi data-path="{}">{}</bdi>').format("/" + "/".join(str(part) for part in parts), find(*parts))

    def say(pointer):
        entry = document["text"][int(pointer.rsplit("/", 1)[1])]
        return Markup('<span data-path="{}/rendered">{}</span>').format(pointer, entry["rendered"])

    def cap(name):
        return Markup('<span data-path="/captions/{}">{}</span>').format(name, document["captions"][name])

    def figure(name, path):
        return (
            Markup('<div class="figure" data-path="{}">{}</div>').format(escape(path), Markup(figures[name]))
            if name in figures
            else Markup("")
        )

    style = (Path(__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
    return (
        _environment()
        .get_template(template)
        .render(
            d=document,
            v=v,
            say=say,
            cap=cap,
            figure=figure,
            figures=figures,
            shape=lambda word: SHAPES[word],
            csp=CSP,
            style=Markup(style),
            not_estimated=NOT_ESTIMATED,
            withheld=document["status"] == "WITHHELD",
        )
    )
