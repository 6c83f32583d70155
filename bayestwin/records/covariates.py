"""Which column is which covariate, and in which unit.

The unit stands in the column's name (`weight_kg`) or in the sidecar file of units; a column in another unit
(`weight_lb`) is converted to the model's covariate. Columns the model does not ask for are kept as they are;
columns that would identify a person are not read at all.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches

from bayestwin.errors import RecordError
from bayestwin.labs import COUNTED, HUMAN, OCCASION, RecordSchema
from bayestwin.records.cells import parse_number
from bayestwin.records.levels import at_reference, level_of
from bayestwin.records.refusal import Findings, RowRefused, folded
from bayestwin.records.tables import Table
from bayestwin.units import NUMBER, compatible, convert, known

IDENTIFYING = re.compile(
    r"(first|last|sur|family|given|full|patient)?_?name|(date_of_)?birth(_?date|day)?|dob|e?_?mail|address|"
    r"street|zip(_?code)?|post_?code|phone.*|mobile|ssn|mrn|nhs_number|insurance_(no|number)|medical_record.*"
)
MISSING = ("na", "n/a", "nan", "null", "none", ".", "unknown", "missing")
# Columns of event tables have no unit in their name; these have one by custom.
BY_CUSTOM = {
    "wt": "weight_kg",
    "wgt": "weight_kg",
    "weight": "weight_kg",
    "ht": "height_cm",
    "hgt": "height_cm",
    "height": "height_cm",
    "bsa": "bsa_m2",
    "age": "age_years",
    "occ": OCCASION,
}


@dataclass(frozen=True)
class Column:
    """One covariate column: name in the file, name in the record, unit there and here (None: as it is).

    levels : those the model names, where it is categorical; all_levels : there are no others
    numeric : a word is refused
    positive : the model takes its logarithm, so 0 and less are refused
    most : of occasions, which are whole numbers from 1; 0 for anything else
    """

    column: str
    name: str
    from_unit: str | None = None
    to_unit: str | None = None
    levels: tuple[str, ...] = ()
    all_levels: bool = False
    numeric: bool = False
    most: int = 0
    positive: bool = False

    def read(self, text: str) -> float | str:
        """One cell: a number in the model's unit, or a word."""
        if self.most:
            return self._occasion(text)
        if self.levels and not self.numeric:
            return level_of(text, self.column, self.name, self.levels, self.all_levels)
        if self.from_unit and self.to_unit:
            value = convert(parse_number(text, self.column), self.from_unit, self.to_unit)
        elif (
            self.numeric
            or NUMBER.fullmatch(text)
            or re.match(r"[+-]?[\d.,]+$", text)
            or text.lower().lstrip("+-") in ("inf", "infinity")
        ):
            value = parse_number(text, self.column)
        else:
            return text
        if self.positive and value <= 0:
            raise RowRefused(
                f"{self.name} = {value:g} is impossible: the model takes its logarithm",
                column=self.column,
                value=text,
                allowed="more than 0",
                next_step="Correct the value; leave the cell empty where it is not known.",
            )
        low, high = HUMAN.get(self.name, (value, value))
        if not low <= value <= high:
            unit, allowed = self.to_unit or "", f"{low:g} to {high:g} {self.to_unit or ''}".strip()
            said = f"{text} {unit}".strip()
            if self.from_unit and self.from_unit != unit:
                said = f"{text} {self.from_unit} = {value:.4g} {unit}"
                ends = (convert(end, unit, self.from_unit) for end in (low, high))
                allowed = "{:.3g} to {:.3g} ".format(*ends) + f"{self.from_unit} ({allowed})"
            raise RowRefused(
                f"{self.name} = {said} is implausible",
                column=self.column,
                value=text,
                allowed=allowed,
                next_step="Check the value, and the unit in the column's name or in the file of units.",
            )
        if self.name in COUNTED and value != int(value):
            raise RowRefused(
                f"{self.name} = {text} is not a whole number",
                column=self.column,
                value=text,
                allowed=f"a whole number from {low:g} to {high:g}",
                next_step="Count every line that was begun; leave the cell empty where it is not known.",
            )
        return value

    def _occasion(self, text: str) -> float:
        """The number of an occasion."""
        value = parse_number(text, self.column)
        if value not in range(1, self.most + 1):
            raise RowRefused(
                "there is no such occasion in the model",
                column=self.column,
                value=text,
                allowed=f"a whole number from 1 to {self.most}",
                next_step="Number a patient's occasions from 1, or raise `most` in the model's occasions.",
            )
        return value

    def note_reference(self, value: float | str, file: str, findings: Findings) -> None:
        """Say that a value is none of the levels the model names."""
        if not self.numeric and at_reference(value, self.name, self.levels, self.all_levels):
            findings.tally(
                f"{file}: {self.name} is none of the levels the model names ({', '.join(self.levels)}) and stands at "
                "the reference"
            )


def covariate_columns(
    table: Table, schema: RecordSchema, skip, findings: Findings, *, by_custom: bool = False
) -> list[Column]:
    """Which columns are covariates, under which name and in which unit."""
    found = []
    for column, written in table.columns.items():
        if column in skip or column.startswith(" "):
            continue
        if IDENTIFYING.fullmatch(column):
            findings.note(
                f"{table.file}: column {written} looks identifying and was not read; leave it out of the file."
            )
            continue
        try:
            found.append(_column(table, column, written, schema, by_custom, findings))
        except RowRefused as problem:
            findings.refuse("", table.file, 1, problem)
    names = [c.name for c in found]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice:
        raise RecordError(
            f"two columns give the covariate {twice}",
            place=f"{table.file} row 1",
            allowed="one column",
            next_step="Leave one of them out.",
        )
    return found


def _column(
    table: Table, column: str, written: str, schema: RecordSchema, by_custom: bool, findings: Findings
) -> Column:
    exact = {name.lower(): name for name in schema.covariates}
    name, unit = exact.get(column), table.units.get(column)
    if unit is not None and not known(unit):
        raise RowRefused(
            "the unit of this column is not known",
            column=written,
            value=unit,
            allowed="a unit such as kg",
            next_step="Correct the unit in the file of units.",
        )
    stem, own = _split(column)
    if name is None and unit is None and by_custom and BY_CUSTOM.get(column, "") in exact:
        name = exact[BY_CUSTOM[column]]
        unit_said = f" (in {schema.covariates[name]})" if schema.covariates[name] else ""
        findings.note(f"{table.file}: column {written} is read as {name}{unit_said}.")
    if own and unit and (not compatible(own, unit) or convert(1.0, own, unit) != 1.0):
        raise RowRefused(
            "the column's name and the file of units disagree",
            column=written,
            value=unit,
            allowed=own,
            next_step="Correct one of the two.",
        )
    if name is None:  # the same covariate under a name with another unit, or with the unit in the sidecar file
        same = [n for n, u in schema.covariates.items() if u and _split(n.lower())[0] == stem]
        name = same[0] if same else None
        unit = unit or own
        if name and not unit:
            raise RowRefused(
                f"the column does not say its unit, and the model needs {name}",
                column=written,
                allowed=f"{name}, or {written} with a unit in the file of units",
                next_step=f"Rename the column to {name} if it is in {schema.covariates[name]}.",
            )
    if name is None:
        _note_near(table, written, schema, findings)
        return Column(column, written)
    return column_of(column, name, schema, unit)


def _note_near(table: Table, written: str, schema: RecordSchema, findings: Findings) -> None:
    """Say that a column which is no covariate of the model is written nearly like one."""
    own, names = folded(written), {folded(name): name for name in schema.covariates}
    near = [name for key, name in names.items() if min(len(key), len(own)) > 2 and key.startswith(own)]
    near = near or [names[key] for key in get_close_matches(own, names, n=1, cutoff=0.85)]
    near = [name for name in near if folded(name) not in map(folded, table.columns)]
    if near:
        findings.note(
            f"{table.file}: column {written} is no covariate of the model and does nothing in it; is "
            f"{' or '.join(sorted(near))} meant? If so, rename it; else nothing need be done."
        )


def column_of(column: str, name: str, schema: RecordSchema, unit: str | None = None) -> Column:
    """How cells of a column are read as a covariate of the model.

    unit : of the column, None for the model's; RowRefused where it does not convert
    """
    if name == OCCASION and schema.occasions:
        return Column(column, name, numeric=True, most=schema.occasions)
    wanted, positive = schema.covariates.get(name, ""), name in schema.positive
    if wanted and not known(wanted):  # a score, say: a number without conversion
        return Column(column, name, numeric=name in schema.numeric, positive=positive)
    if unit and wanted and not compatible(unit, wanted):  # fludarabine_auc_mg_h_l: mg/h/l, or mg*h/l
        head, _, last = unit.rpartition("/")
        product = f"{head.replace('/', '*')}/{last}"
        unit = product if compatible(product, wanted) else unit
    if wanted and not compatible(unit or wanted, wanted):
        raise RowRefused(
            f"the unit of this column does not convert to that of {name}",
            column=column,
            value=unit,
            allowed=f"{wanted} or a unit that converts to it",
            next_step="Correct the unit.",
        )
    if wanted:
        return Column(column, name, unit or wanted, wanted, positive=positive)
    levels, numeric = schema.levels.get(name, ()), name in schema.numeric
    complete = name in schema.all_levels
    return Column(column, name, levels=levels, all_levels=complete, numeric=numeric, positive=positive)


def _split(column: str) -> tuple[str, str | None]:
    """Stem and unit of a column name: weight_kg -> (weight, kg); albumin_g_per_l -> (albumin, g/l)."""
    parts = column.split("_")
    for first in range(1, len(parts)):
        unit = "/".join("_".join(parts[first:]).split("_per_"))
        for text in (unit, unit.replace("_", "/")):
            if known(text):
                return "_".join(parts[:first]), text
    return column, None
