"""values.csv: parameters of a model on the natural scale, `parameter, value`, for everybody or per `ID`."""

from collections.abc import Iterable, Mapping

from bayestwin.errors import RecordError
from bayestwin.records.cells import parse_number
from bayestwin.records.refusal import Findings, RowRefused, shown_key
from bayestwin.records.tables import Row, read_table

EVERYBODY = ""


def read_parameter_values(source, bounds: Mapping[str, tuple[float, float]], optional: Mapping[str, float]):
    """Parameter values by ID; key "" holds those of everybody (rows without an ID).

    Parameters
    ----------
    source : path or DataFrame
    bounds : parameter -> (low, high), both excluded
    optional : parameters that need not be said -> their value

    Raises
    ------
    RecordError     an unknown parameter, one said twice, a value that is no number or outside; names file and row
    """
    findings = Findings()
    table = read_table(
        source, "values", required=("parameter", "value"), known=("id",), key="parameter", findings=findings
    )
    if findings.refusals:
        raise RecordError(str(findings.refusals[0]).rstrip("."), next_step="Correct the row.")
    found: dict[str, dict[str, float]] = {EVERYBODY: {}}
    for row in table.rows:
        try:
            value = _value(row, {**bounds, **{name: (float("-inf"), float("inf")) for name in optional}})
        except RowRefused as problem:
            place = f"{table.file} row {row.number}, {problem.column}"
            raise RecordError(
                problem.reason, place=place, value=problem.value, allowed=problem.allowed, next_step=problem.next_step
            ) from problem
        mine = found.setdefault(row["id"], {})
        if row["parameter"] in mine:
            raise RecordError(
                "a parameter is given twice",
                place=f"{table.file} row {row.number}, parameter",
                value=row["parameter"],
                allowed="each parameter once" + (" per ID" if row["id"] else ""),
                next_step="Remove one of the rows.",
            )
        mine[row["parameter"]] = value
    return found


def values_of(found: Mapping[str, Mapping[str, float]], key: str, needed: Iterable[str], optional: Mapping[str, float]):
    """The parameters of one ID: its own, else those of everybody; RecordError names what is missing."""
    values = {**optional, **found[EVERYBODY], **found.get(key, {})}
    missing = [name for name in needed if name not in values]
    if missing:
        raise RecordError(
            f"missing parameter{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            subject=f"ID {shown_key(key)}",
            allowed=f"a value for each of {', '.join(needed)}",
            next_step="Add the rows to the file of values.",
        )
    return values


def _value(row: Row, bounds: Mapping[str, tuple[float, float]]) -> float:
    name = row["parameter"]
    if name not in bounds:
        near = [known for known in bounds if known.lower() == name.lower()]
        raise RowRefused(
            "unknown parameter",
            column="parameter",
            value=name,
            allowed=f"one of {', '.join(bounds)}",
            next_step=f"Is {near[0]} meant? Capitals count." if near else "Parameters are those of the model.",
        )
    value, (low, high) = parse_number(row["value"], "value"), bounds[name]
    if not low < value < high:
        raise RowRefused(
            f"{name} cannot have this value",
            column="value",
            value=row["value"],
            allowed=f"more than {low:g}" + (f" and less than {high:g}" if high != float("inf") else ""),
            next_step="Values are on the natural scale, not logarithms.",
        )
    return value
