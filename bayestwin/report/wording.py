"""Every sentence of a report, the verbal scale and the words that are never used (report_spec 3.2, 3.3, 1.3).

Sentences are filled from templates with names T1 to T10 and a few more of the same kind; translators work on
this list. The text says what the model holds ("if given", "under the model"), never what a treatment does.
"""

import re
import unicodedata

HEADER = "RESEARCH USE ONLY. Not for diagnosis or treatment decisions."
NOT_RANDOMISED = "Not a randomised comparison."
NOT_ESTIMATED = "not estimated for patients like this"

TEMPLATES = {
    "T1": "Of 100 patients with these data, under the model and if given {x}, {p} are {free} {h} months from {cut} "
    "and {q} are not. With better knowledge of the treatments this could be {range} (80 % range).",
    "T1n": "Of 100 patients with these data, under the model and if given {x}, {p} are {free} {h} months from {cut} "
    "and {q} are not. The knowledge range is not available: {reason}.",
    "T2": "Half of such patients {event} between {q25} and {q75} months; one in ten before {q10}, one in ten after "
    "{q90}.",
    "T2open": "Half of such patients {event} between {q25} and {q75} months; one in ten before {q10}; {after} of 20 "
    "pass "
    "{h} months, where the forecast ends.",
    "T2late": "Of such patients one in ten {event} before {q10} months and a quarter before {q25}; {after} of 20 "
    "pass {h} "
    "months, where the forecast ends.",
    "T2beyond": "{after} of 20 such patients pass {h} months without the event, where the forecast ends.",
    "T2few": "When such patients {event} is not shown: the Monte Carlo error of these times is too large.",
    "T3": "Of 100 pairs of patients alike in these data, one given {B} and one given {A}: {b} times {B} stays {free} "
    "longer, {a} times {A}, {t} times both pass {H} months.",
    "T4": "Chance at {h} months with {B} minus {A}: {d} points ({range}). {verdict} {basis}",
    "T4clear": "The model holds it {verbal} ({c} in 100) that the chance is higher with {B}.",
    "T4rho": "How far a response to one speaks of the other is assumed, not known; over the correlations {rhos} the "
    "difference "
    "runs from {low} to {high} points.",
    "T4row": "{h}-month difference to {A}: {d} points ({range}; over assumed correlations {rhos}: {low} to {high}). "
    "{verdict}",
    "T4withheld": "No difference between {B} and {A} is shown: {reason}.",
    "T5": "The model sees two kinds of course: about {a} in 100 progress within {t1} months; half of the others "
    "between "
    "{t2} and {t3}.",
    "T6": "About {a} % of the doubt is about this patient and can shrink with labs, {b} % is about what is known "
    "of the treatment, {c} % is chance.",
    "T7": "The {h}-month chance moved from {p0} to {p1} since {date}; main reason: {cause}. {expected}",
    "T7small": "The {h}-month chance moved by less than {step} points since {date}.",
    "T7expected": "A move of this size was expected in {e} of 100 updates.",
    "T7unknown": "How often a move of this size was expected is not computed.",
    "T8": "{lab} of {date} was {value}; before it arrived the model expected {lo} to {hi} (80 %). Check sample and "
    "unit; "
    "the forecast {use}.",
    "T8plain": "{lab} of {date} was {value}, outside what the model expected before it arrived. Check sample and unit; "
    "the forecast {use}.",
    "T9": "No forecast is shown because {reason}. Data are listed on page 3. Next step: {step}.",
    "T10": "So far this is mostly what the model expected before this patient's labs (labs narrowed the range by "
    "{s} %).",
    "first": "No earlier report. Before any lab of this patient the {h}-month chance was {p}{range}.",
    "firstbare": "No earlier report, and no forecast from before the first lab was handed over.",
    "largest": "Lab that moved the {h}-month chance most (left out and put back): {lab}, {d} points.",
    "nolargest": "Which lab moved the chance most is not computed.",
    "next": "{lab}{when} is expected to narrow the {h}-month range from {now} to {then} points wide.",
    "nextif": "If {outcome}: about {p}{range}.",
    "comparator": "{name}: {p} in 100{source}",
    "nothing": "{reason}",
    "frame": '"Patients with these data" are simulated patients, not real ones.',
}

BASIS = {
    "model": "Patients were not randomised between these; sicker patients may have been given one of them.",
    "randomised": "These two were compared in a randomised trial; this patient was not in it.",
}

BANNED = re.compile(
    r"\bwill\b|\bcause[sd]\b|\bdue to\b|\bbecause of\b|\beffects? of\b|\bbenefit\w*|\bsaves\b|\bprevents?\b|\bworks\b"
    r"|\bbest\b(?! response)|\bbetter treatment|\boptim(?:al|um|ise|ize)\w*|\brecommend\w*|\bshould\b|\bsafe(?:r|st"
    r"|ly)?\b"
    r"|\bproven\b|\bguarantee\w*|\bsignifican\w+|\bconfidence interval|\baccura(?:te|cy)\w*|\bhazard ratio"
    r"|\brelative risk"
    r"|\bp[- ]values?\b|\bp ?[<=>] ?0?\.\d|\d\.\d+ ?%|(?<![\d.])(?:0|100) ?%|(?<![\d.])(?:0|100) in 100\b"
    r"|(?<![\d.])0 to \d+ in 100",
    re.IGNORECASE,
)

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
VERBAL = (
    (0.90, "very likely"),
    (0.65, "likely"),
    (0.35, "about as likely as not"),
    (0.10, "unlikely"),
    (-1.0, "very unlikely"),
)
CLEAR_CONFIDENCE = (0.10, 0.90)
CLEAR_DIFFERENCE = 0.05

_CONTROLS = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
)


class Sayings:
    """Collects filled templates, so that a page can point at them and the JSON lists them."""

    def __init__(self):
        self.entries: list[dict] = []

    def say(self, template: str, **values) -> str:
        """Fill a template, keep it and return its JSON pointer ("/text/3")."""
        rendered = TEMPLATES[template].format(**{key: isolated(str(value)) for key, value in values.items()})
        self.entries.append(
            {
                "template": template,
                "values": {k: str(v) for k, v in values.items()},
                "rendered": re.sub(r" +", " ", rendered).strip(),
            }
        )
        return f"/text/{len(self.entries) - 1}"


def date_words(day) -> str:
    """A date as printed: "14 Mar 2026"."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def verbal(confidence: float) -> str:
    """Word for confidence in a statement of the model; always printed after its number."""
    return next(word for limit, word in VERBAL if confidence >= limit)


def is_clear(confidence: float | None, difference: float) -> bool:
    """False wherever "No clear difference." is mandatory."""
    low, high = CLEAR_CONFIDENCE
    return confidence is not None and not low <= confidence <= high and abs(difference) >= CLEAR_DIFFERENCE


def banned_words(text: str) -> list[str]:
    """Every banned expression found in a text."""
    return [match.group(0) for match in BANNED.finditer(text)]


def clean(text: str) -> str:
    """Text from a record or a model made printable: control and direction characters become a visible mark."""
    return _CONTROLS.sub("\ufffd", text.replace("\r\n", " ").replace("\n", " ").replace("\t", " "))


def isolated(text: str) -> str:
    """Right-to-left text wrapped in isolates, so that it cannot reorder the sentence around it."""
    if any(unicodedata.bidirectional(letter) in ("R", "AL", "AN") for letter in text):
        return f"\u2068{text}\u2069"
    return text


def shorten(text: str, length: int) -> str:
    """A label cut for a figure; the full text stands in the table."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "\u2026"


def short_label(text: str, length: int = 34) -> str:
    """A treatment's name on page 1: beginning and end kept, so that long names stay apart."""
    return text if len(text) <= length else f"{text[: length - 13].rstrip()}\u2026{text[-12:].lstrip()}"


def joined(items) -> str:
    """ "a", "a and b", "a, b and c"."""
    items = [item for item in items if item]
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + (f" and {items[-1]}" if items else "")
