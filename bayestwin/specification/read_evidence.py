"""`read_evidence(path, model)`: the published arms in an evidence.toml, checked against the model they speak of.

    [[arm]]
    name = "karmma_3_ide_cel"        trial = "KarMMa-3"        treatment = "ide_cel"        n = 254
    counted_from = "randomisation"   visit_every = 28.0        not_started = 0.114          wait = 49.0
    [arm.mix]
    age_years = { mean = 63, sd = 9, minimum = 30, maximum = 90 }
    iss = { "1" = 0.40, "2" = 0.35, "3" = 0.25 }
    [[arm.outcome]]
    what = "response"                value = 0.71              low = 0.66                   high = 0.77
    [[hazard_ratio]]
    treated = "karmma_3_ide_cel"     control = "karmma_3_sc"   endpoint = "pfs"             value = 0.49

Nothing is repaired: what is misspelt, missing, contradictory or impossible is an error that names file, arm and field.
docs/virtual_trials.md lists every field.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from bayestwin.axes import DAYS_PER_MONTH
from bayestwin.errors import ModelError
from bayestwin.specification.evidence import (
    COUNTED_FROM,
    ENDPOINTS,
    MARKS,
    USES,
    WHATS,
    HazardRatio,
    Outcome,
    TrialArm,
)
from bayestwin.specification.evidence_fields import Fields
from bayestwin.specification.evidence_mix import read_marks, read_mix_table

ARM = tuple(
    "name label trial treatment n counted_from visit_every not_started instead wait response_by drop_out_per_year "
    "assay_error outside source mix mix_marks outcome".split()
)
OUTCOME = ("what", "value", "month", "low", "high", "mark", "use", "source")
HAZARD_RATIO = ("treated", "control", "endpoint", "value", "low", "high", "followed", "mark", "source")
NEVER_WAITS = ("infusion", "first_dose")
MOST_MONTHS = 600.0
MOST_PATIENTS = 100_000
LONGEST_DAYS = 3650.0  # between visits, of a wait
MOST_DROP_OUT = 100.0  # a year
MOST_ERROR = 10.0  # factor on the SD of labs


def read_evidence(path, model) -> tuple[TrialArm, ...]:
    """The arms of an evidence file, in its order.

    Raises
    ------
    ModelError      the file cannot be read, or an entry is none: names file, arm, field, value and what is allowed
    """
    path = Path(path)
    table = _table_of(path)
    fields = Fields(table, path.name, "file")
    fields.only(("arm", "hazard_ratio"))
    rows = table.get("arm")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        fields.refuse("the file holds no arms", "arm", rows, "one table [[arm]] for each arm of a trial")
    arms: list[TrialArm] = []
    for number, row in enumerate(rows, start=1):
        said = row.get("name")
        arm = _arm(
            Fields(row, path.name, f"arm {said}" if isinstance(said, str) and said else f"arm number {number}"), model
        )
        if arm.name in [one.name for one in arms]:
            Fields(row, path.name, f"arm number {number}").refuse(
                "two arms have one name", "name", arm.name, "a name that no other arm has"
            )
        arms.append(arm)
    return tuple(arms)


def read_hazard_ratios(path, model) -> tuple[HazardRatio, ...]:
    """The hazard ratios between arms of an evidence file, () where it has none; errors as of `read_evidence`."""
    arms, path = {arm.name: arm for arm in read_evidence(path, model)}, Path(path)
    rows, file = _table_of(path).get("hazard_ratio", []), path.name
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        Fields({}, file, "file").refuse(
            "hazard ratios are tables", "hazard_ratio", rows, "one table [[hazard_ratio]] for each"
        )
    found: list[HazardRatio] = []
    for number, row in enumerate(rows, start=1):
        of = Fields(row, file, f"hazard_ratio number {number}")
        one = _hazard_ratio(of, arms, model)
        if one.name in [other.name for other in found]:
            of.refuse("a hazard ratio is given twice", "treated", one.treated, "each pair and endpoint once")
        found.append(one)
    return tuple(found)


def read_mix(path, model):
    """The mix of covariates in a file of its own, covariates at the top or in a table [mix]; errors as above."""
    path = Path(path)
    table = _table_of(path)
    if "mix" in table:
        Fields(table, path.name, "file").only(("mix",))
        table = table["mix"]
    return read_mix_table(table, model, path.name, "mix")


def _table_of(path: Path) -> dict:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:  # not UTF-8, no TOML, thousands of digits or brackets
        raise ModelError(
            f"the file cannot be read: {error}",
            subject=path.name,
            next_step="Write it as docs/virtual_trials.md shows.",
        ) from error


def _arm(f: Fields, model) -> TrialArm:
    f.only(ARM)
    name = f.word("name")
    treatments = model.treatment_names
    treatment, n = f.one_of("treatment", treatments), f.whole("n", MOST_PATIENTS)
    counted_from = f.one_of("counted_from", COUNTED_FROM, "randomisation")
    usual = model.progression.visit_every if model.progression is not None else None
    visit_every = f.number("visit_every", usual, low=1.0, high=LONGEST_DAYS, said=f"days from 1 to {LONGEST_DAYS:g}")
    not_started = f.number("not_started", 0.0, low=0.0, high=1.0, high_excluded=True, said="a share from 0 to below 1")
    wait = f.number("wait", 0.0, low=0.0, high=LONGEST_DAYS, said=f"days from 0 to {LONGEST_DAYS:g}")
    if counted_from in NEVER_WAITS and (wait > 0 or not_started > 0):
        field = "wait" if wait > 0 else "not_started"
        f.refuse(
            f"an arm that is counted from {counted_from} holds treated patients only, from their first day",
            field,
            f.table[field],
            "0, or counted_from = 'randomisation'",
        )
    instead = f.one_of("instead", treatments) if "instead" in f.table else ""
    if instead and not not_started:
        f.refuse("nobody gets what is given instead", "instead", instead, "not_started above 0 beside it")
    return TrialArm(
        name,
        treatment,
        n,
        visit_every,
        label=f.text("label", name),
        trial=f.text("trial", name),
        counted_from=counted_from,
        wait=wait,
        not_started=not_started,
        instead=instead,
        response_by=_response_by(f, wait),
        drop_out_per_year=f.number(
            "drop_out_per_year", 0.0, low=0.0, high=MOST_DROP_OUT, said=f"a hazard a year from 0 to {MOST_DROP_OUT:g}"
        ),
        assay_error=f.number(
            "assay_error",
            1.0,
            low=0.0,
            high=MOST_ERROR,
            said=f"a factor on the SD of the labs' error, 0 to {MOST_ERROR:g}",
        ),
        outside=f.text("outside", ""),
        source=f.text("source", ""),
        mix=read_mix_table(f.table.get("mix", {}), model, f.file, f"{f.place}, mix"),
        mix_marks=read_marks(f),
        outcomes=_outcomes(f, model),
    )


def _response_by(f: Fields, wait: float) -> float | None:
    if "response_by" not in f.table:
        return None
    start = wait / DAYS_PER_MONTH
    return f.number(
        "response_by", low=start, low_excluded=True, high=MOST_MONTHS, said=f"months from time zero, above {start:g}"
    )


def _outcomes(f: Fields, model) -> tuple[Outcome, ...]:
    rows = f.table.get("outcome", [])
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        f.refuse("outcomes are tables", "outcome", rows, "one table [[arm.outcome]] for each")
    found: list[Outcome] = []
    for number, row in enumerate(rows, start=1):
        said = row.get("what") if isinstance(row.get("what"), str) else f"number {number}"
        of = Fields(row, f.file, f"{f.place}, outcome {said}")
        one = _outcome(of, model)
        if one.name in [other.name for other in found]:
            of.refuse("an outcome is given twice", "what", one.name, "each once")
        found.append(one)
    return tuple(found)


def _outcome(f: Fields, model) -> Outcome:
    f.only(OUTCOME)
    what, month = f.one_of("what", WHATS), None
    endpoint = model.progression
    if what.startswith("os") and not (endpoint and endpoint.death_hazards):
        f.refuse("the model has no hazard of death, so no overall survival", "what", what, "response or pfs outcomes")
    if what.endswith("_at"):
        month = f.number("month", low=0.0, low_excluded=True, high=MOST_MONTHS, said="a landmark in months, above 0")
    elif "month" in f.table:
        f.refuse("only a landmark has a month", "month", f.table["month"], "no month, or what = 'pfs_at' or 'os_at'")
    share = not what.endswith("_median")
    limits: dict = {"low": 0.0, "high": 1.0} if share else {"low": 0.0, "low_excluded": True, "high": MOST_MONTHS}
    said = "a share from 0 to 1" if share else f"months above 0, up to {MOST_MONTHS:g}"
    value, low, high = _with_interval(f, said, limits)
    mark, use = f.one_of("mark", MARKS, "verified"), f.one_of("use", USES, "fit")
    return Outcome(what, value, month, low, high, mark, use)


def _with_interval(f: Fields, said: str, limits: dict):
    """`value` with `low` and `high` of its published interval, None where there is none."""
    value = f.number("value", said=said, **limits)
    ends = [f.number(end, said=said, **limits) if end in f.table else None for end in ("low", "high")]
    for end, wrong in zip(("low", "high"), (lambda x: x > value, lambda x: x < value)):
        if end in f.table and wrong(f.table[end]):
            f.refuse(
                "the interval does not hold the value",
                end,
                f.table[end],
                f"{'at most' if end == 'low' else 'at least'} {value:g}",
            )
    return value, *ends


def _hazard_ratio(f: Fields, arms: Mapping[str, TrialArm], model) -> HazardRatio:
    f.only(HAZARD_RATIO)
    treated, control = f.one_of("treated", tuple(arms)), f.one_of("control", tuple(arms))
    if treated == control or arms[treated].trial != arms[control].trial:
        f.refuse(
            "a hazard ratio is of two arms of one trial",
            "control",
            control,
            f"another arm of {arms[treated].trial}, the trial of {treated}",
        )
    endpoint = f.one_of("endpoint", ENDPOINTS)
    if endpoint == "os" and not (model.progression and model.progression.death_hazards):
        f.refuse("the model has no hazard of death, so no overall survival", "endpoint", endpoint, "pfs")
    value, low, high = _with_interval(f, "a ratio above 0", {"low": 0.0, "low_excluded": True})
    followed = None
    if "followed" in f.table:
        followed = f.number("followed", low=0.0, low_excluded=True, high=MOST_MONTHS, said="months above 0")
    return HazardRatio(treated, control, endpoint, value, low, high, followed, f.one_of("mark", MARKS, "verified"))
