"""Page 1 of the machine-readable report: which rows stand there, which one its sentences speak of.

The main row is the first one with numbers (`ReportInput.main_treatment`). Where the treatment in force has none (it
has been progressed under, or the patient is outside its evidence), the lead says so, and page 1 speaks of the next.
"""

from bayestwin.report.warning_table import MAIN_MONTH

DENSE, ROWS, PLACES, MONTHS = 1850, 3, 6, 3


def main_row(document: dict) -> dict | None:
    """The first row with numbers."""
    return next((row for row in document["treatments"] if row["support"]["status"] == "estimated"), None)


def doubt(document: dict, sayings):
    """Sentence and shares of the doubt about the main row's 12-month chance, or None twice."""
    main = main_row(document)
    mark = next((item for item in main["landmarks"] if item["month"] == MAIN_MONTH), None) if main else None
    if mark is None or mark["doubt"] is None:
        return None, None
    a, b, c = mark["doubt"]["shown"]
    return sayings.say("T6", a=a, b=b, c=c), mark["doubt"]


def page_1(document: dict, sayings) -> dict:
    """Which rows stand on page 1: at most three estimated ones, every refused one; and the pair sentence."""
    rows: list[int] = []
    held: list[int] = []
    free = ROWS
    for row in document["treatments"]:
        if row["support"]["status"] == "estimated" and row["landmarks"]:
            (rows if free > 0 else held).append(row["place"])
            free -= 1
        else:
            (rows if len(rows) + len(held) < PLACES else held).append(row["place"])
    main = main_row(document)
    against: dict[str, int] = {}
    for k, pair in enumerate(document["comparisons"]):
        if main and pair["a"] == main["id"]:
            against.setdefault(pair["b"], k)
    pair = next(
        (document["comparisons"][k] for k in against.values() if document["comparisons"][k].get("pairs_shown")), None
    )
    before = document["treatments"][: main["place"]] if main else []
    return {
        "rows": rows,
        "main": main["place"] if main else None,
        "refused_first": [row["place"] for row in before if row["role"] in ("current", "planned")],
        "further": [document["treatments"][k]["label_short"] for k in held],
        "against": against,
        "pair_sentence": pair["sentences"][0] if pair else None,
        "months": _months(main["landmarks"] if main else []),
        "dense": _load(document, sayings) > DENSE,
        "frame": sayings.say("frame"),
    }


def _months(marks) -> list[str]:
    """The months of page 1 as printed: the earliest ones, and always the main month, whose other frame stands there."""
    first = sorted(marks, key=lambda mark: (mark["month"] != MAIN_MONTH, mark["month"]))[:MONTHS]
    return [mark["month_shown"] for mark in sorted(first, key=lambda mark: mark["month"])]


def _load(document, sayings) -> int:
    """How much text page 1 carries, in characters: beyond DENSE its type is set smaller, to stay one A4 page."""
    texts = [document["patient"]["disease_shown"], document["patient"]["treatment_shown"], *document["first_reasons"]]
    texts += [flag for row in document["trust"]["block_5"] for flag in row["flags"]] + [
        row["facts_shown"] for row in document["trust"]["block_5"]
    ]
    texts += [row["label_short"] * 4 + row["given_before"] + row["evidence_short"] for row in document["treatments"]]
    return sum(map(len, texts)) + sum(
        len(entry["rendered"])
        for entry in sayings.entries
        if entry["template"] in ("T4row", "T3", "T7", "next", "nextif")
    )
