"""A figure as inline SVG for one HTML page: no metadata, no outside address, own ids, title and description.

The text stays text (the page's font is used) and the same figure gives the same bytes: matplotlib's hash salt is
the figure's key and no date is written.
"""

import io
import re
from html import escape

from bayestwin.plots.style import quiet_style


def to_svg(figure, *, key: str, title: str, description: str, details: str = "") -> str:
    """Inline `<svg role="img">` of a matplotlib Figure.

    key : short unique name; prefixes every id, so that several figures fit in one page
    details : id of the table with the same numbers (aria-details)
    """
    buffer = io.StringIO()
    with quiet_style(**{"svg.hashsalt": key}):
        figure.savefig(
            buffer,
            format="svg",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
            transparent=True,
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"| version="1.1"', "", text)
    text = text.replace("xlink:href=", "href=")
    text = re.sub(r' id="([^"]+)"', rf' id="{key}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", text)
    text = re.sub(r' href="#([^"]+)"', rf' href="#{key}-\1"', text)
    text = re.sub(r' d="([^"]*)"', lambda found: f' d="{_short_numbers(found.group(1))}"', text)
    text = re.sub(r"\n\s*\n+", "\n", text)
    labelled = f'role="img" aria-labelledby="{key}-title {key}-desc"' + (
        f' aria-details="{details}"' if details else ""
    )
    opening = f"<svg {labelled}"
    head = f'<title id="{key}-title">{escape(title)}</title>\n<desc id="{key}-desc">{escape(description)}</desc>\n'
    body = opening + text[len("<svg") :]
    end = body.index(">") + 1
    return f"{body[:end]}\n{head}{body[end:].strip()}\n"


def _short_numbers(path: str) -> str:
    """Path coordinates to a hundredth of a point: half the size, no visible change."""
    return re.sub(r"(\d+\.\d\d)\d+", r"\1", path).replace("\n", "")
