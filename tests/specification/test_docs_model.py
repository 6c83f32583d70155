"""docs/model_language.md lists every argument of `Model` with its default."""

import re
from dataclasses import MISSING, fields
from pathlib import Path

from bayestwin.specification import Model

TEXT = (Path(__file__).parents[2] / "docs" / "model_language.md").read_text(encoding="utf-8")


def test_the_page_lists_every_argument_of_model_with_its_default():
    section = TEXT.partition("## `Model(...)`")[2].partition("\n## ")[0]
    listed = [tuple(row.strip(" `") for row in line.split("|")[1:5]) for line in section.splitlines() if "|" in line]
    defaults = {
        one.name: "" if one.default is one.default_factory is MISSING else repr(
            one.default if one.default is not MISSING else one.default_factory()
        )
        for one in fields(Model)
    }  # fmt: skip
    assert {name: default.replace('""', "''") for name, _, default, _ in listed[2:]} == defaults
    assert all(kind and re.search(r"\w", says) for _, kind, _, says in listed[2:])
