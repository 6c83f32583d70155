"""What the pages about stores tell the reader to type is what the program takes."""

import re
import tomllib
from pathlib import Path

import pytest
import typer

from bayestwin.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs" / "store.md", *sorted((ROOT / "docs" / "how-to").iterdir())]
COMMANDS = typer.main.get_command(app).commands


def typed(text):
    """(command, options) of every call of the program in a page."""
    text = re.sub(r"\\\n\s*", "", text)
    for line in re.findall(rf"(?:bayestwin|-- )\s*((?:{'|'.join(COMMANDS)})\b.*)", text):
        words = re.split(r"\s#|`|;|\||>>", line)[0].split()
        yield words[0], [word for word in words[1:] if word.startswith("--")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_on_the_page_exists(page):
    for command, options in typed(page.read_text(encoding="utf-8")):
        known = {name for parameter in COMMANDS[command].params for name in parameter.opts}
        assert set(options) <= known, (command, options)


def test_the_pages_show_every_command_on_a_store():
    shown = {command for page in PAGES for command, _ in typed(page.read_text(encoding="utf-8"))}
    assert {"store-population", "refresh", "believed", "history", "erase", "verify-store", "store-migrate"} <= shown
    assert list(typed("`bayestwin refresh --labs x --nonsense`")) == [("refresh", ["--labs", "--nonsense"])]


def test_the_extras_that_the_pages_name_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {
        e
        for page in PAGES
        for m in re.findall(r"'(?:bayestwin|\.)\[([\w,]+)\]'", page.read_text())
        for e in m.split(",")
    }
    assert named == {"postgres", "crypto", "distributed"} and named <= set(extras)
