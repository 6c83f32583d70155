"""Tables of `verify-updates` for a person: drawn on a terminal, plain text elsewhere."""

import sys
from math import floor, isfinite, log10

WIDE = 200


def one_patient_table(found):
    """Lines: what was done, the table, what is special about each row, the result."""
    rows, quantities = found.rows, list(found.rows[0].moments)
    cost = ["ESS", "s", "kB", "updates", "check", "largest |t|", "equal"]
    heads = ["row"] + [f"{q}{' forecast' if found.forecast and q == quantities[-1] else ''}" for q in quantities] + cost
    lines = []
    for row, line in zip(rows, found.table.to_dict("records")):
        cells = [row.name] + [_both(row, quantity) for quantity in quantities]
        cells += [f"{row.ess:.0f}", f"{row.seconds:.1f}", f"{row.kilobytes:.0f}", row.path, row.verdict]
        cells += [f"{line['largest_t']:.2f} ({line['largest_in']})" if line["largest_in"] else "", line["equal"]]
        lines.append(cells)
    yield from drawn(heads, lines)
    yield ""
    for row in rows:
        yield f"{row.name}: {row.says}"
        if row.verdict != "PASS":
            yield f"  WITHHELD: {'; '.join(row.reasons)}"
    same = "bit for bit the particles of 'lab by lab'" if found.same_particles else "other particles than 'lab by lab'"
    yield f"killed and resumed gave {same}."
    yield "Each cell: mean ± its Monte Carlo error, then SD ± its Monte Carlo error; seconds hold compiling."
    yield ""
    yield found.sentence


def proof_table(proof):
    """Lines: the measures beside their targets, and the result."""
    heads = ["measure", "value", "99 % interval", "target", "patients", "status"]
    lines = [
        [
            line["measure"],
            _number(line["value"]),
            _interval(line),
            line["target"],
            str(line["patients"]),
            line["status"],
        ]
        for line in proof.summary.to_dict("records")
    ]
    yield from drawn(heads, lines)
    yield ""
    yield proof.sentence


def with_error(value: float, error: float) -> str:
    """A number with two digits of its error: 0.300 ± 0.0072 becomes 0.3002 ± 0.0072."""
    if not (isfinite(value) and isfinite(error)):
        return f"{value:g} ± {error:g}"
    digits = max(0, 1 - floor(log10(error))) if error > 0 else 4
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _both(row, quantity: str) -> str:
    parts = row.moments[quantity].estimates(quantity).values()
    return ", ".join(with_error(e.value, e.error) for e in parts)


def _number(value: float) -> str:
    return f"{value:.3g}" if isfinite(value) else "-"


def _interval(line) -> str:
    return f"{line['low']:.3g} to {line['high']:.3g}" if isfinite(line["high"]) else "-"


def drawn(heads, lines):
    """A table as lines."""
    if not sys.stdout.isatty():
        widths = [max(len(str(cell)) for cell in column) for column in zip(heads, *lines)]
        for line in (heads, *lines):
            yield "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths)).rstrip()
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_lines=True)
    for head in heads:
        table.add_column(head)
    for line in lines:
        table.add_row(*(cell.replace(", ", "\n") for cell in line))
    console = Console()
    with console.capture() as text:
        console.print(table)
    yield text.get().rstrip("\n")
