"""What each row of a forecast means for this patient: when it starts, who it holds for, what stays planned."""

from dataclasses import dataclass, replace

from bayestwin.dosing import Policy, Regimen, Schedule
from bayestwin.dynamics import treatment_starts
from bayestwin.errors import ModelError
from bayestwin.prognosis.assessments import MOMENT
from bayestwin.prognosis.eligibility import eligibility
from bayestwin.prognosis.sequences import check_policy, check_schedule, policy_in_words, schedule_in_words
from bayestwin.prognosis.starts import (
    Cut,
    begin,
    doses_of,
    doses_until,
    earliest_start,
    leukapheresis_of,
    with_start,
    without_plans,
)
from bayestwin.records.record import PatientRecord

# Of the treatment in force; beside it stand rows that begin, and count, at the data cut or later
COUNTED = "; a rise counts over the lowest value since it began"


@dataclass(frozen=True)
class Plan:
    """One row of a forecast.

    start : model time at which the treatment starts (the data cut for one that goes on); new : it has not started yet
    record : the patient's record with this treatment's events and doses added and other plans removed
    refused : why there is no number, or "" ; unknown : eligibility rules that could not be checked
    treatments : every treatment the row can give, as far as events start them
    sequence : of a schedule, (model time, treatment or "" for none) from the data cut on; policy : of a policy
    leukapheresis : model time, where it lies ahead; waits : how many times the treatment's `wait` lies ahead
    otherwise : what those get who set out on it and never get it; None: everybody gets it
    """

    name: str
    label: str
    role: str
    start: float
    new: bool
    record: PatientRecord
    refused: str = ""
    unknown: tuple[str, ...] = ()
    evidence: str = ""
    assumption: str = ""
    treatments: tuple[str, ...] = ()
    sequence: tuple[tuple[float, str], ...] = ()
    policy: Policy | None = None
    leukapheresis: float | None = None
    waits: float = 0.0
    otherwise: "Plan | None" = None


def current_treatment(model, record, now: float) -> tuple[float, str] | None:
    """(start, name) of the latest treatment started by `now`, or None."""
    return next((s for s in reversed(treatment_starts(model, record)) if s[0] <= now), None)


def make_plans(
    model, record, treatments, now: float, *, applied: bool = False, span: float = float("inf")
) -> tuple[Plan, ...]:
    """Plans for the asked rows.

    treatments : None (what the model offers, and what is in force), names, or row name -> what is done:
        None (the treatment of that name), a treatment's name, a Regimen, a Schedule or a Policy
    applied : the twin's state holds the doses and treatment starts of `now` itself; span : the horizon
    """
    cut = Cut(now, applied, current_treatment(model, record, now), span)
    if treatments is None:
        in_force = cut.in_force[1] if cut.in_force else ""
        treatments = {t.name: None for t in model.treatments if not t.by_request or t.name == in_force}
    elif not hasattr(treatments, "items"):
        treatments = {name: None for name in ([treatments] if isinstance(treatments, str) else treatments)}
    if not treatments:
        raise ModelError(
            "no treatment was asked for", subject=f"model {model.name}", allowed=", ".join(model.treatment_names)
        )
    return tuple(_row(model, record, name, what, cut) for name, what in treatments.items())


def _row(model, record, name, what, cut: Cut) -> Plan:
    """The plan of one row, whatever was asked for."""
    if what is None or isinstance(what, Regimen) or what == name:
        return _plan(model, record, name, None if what == name else what, cut)
    if not isinstance(what, str | Schedule | Policy):
        allowed = "None, a treatment's name, a Regimen, a Schedule or a Policy"
        raise ModelError("this is nothing to forecast", place=f"forecast row {name!r}", value=what, allowed=allowed)
    if name in model.treatment_names or not name.strip():
        raise ModelError(
            "this row needs a name of its own",
            subject=f"model {model.name}",
            place="forecast",
            value=name,
            allowed=f"a name other than {', '.join(model.treatment_names)}",
        )
    if isinstance(what, str):
        plan = _plan(model, record, what, None, cut)
        return replace(plan, name=name, label=f"{name} ({plan.label})")
    return (_followed if isinstance(what, Policy) else _scheduled)(model, record, name, what, cut)


def _plan(model, record, name, regimen, cut: Cut) -> Plan:
    """One treatment, or doses alone."""
    if name not in model.treatment_names and regimen is None:
        model.treatment(name)  # raises with the names allowed
    known = model.treatment(name) if name in model.treatment_names else None
    now = cut.now
    if known is None or known.starts_with == "dose":
        regimen = regimen or (known.regimen if known else Regimen.none())
        doses = doses_of(model, record, name, regimen, begin(model, record, cut, now))
        past = doses_until(record, now)
        label = known.label if known else name
        return Plan(name, label, "option", now, True, replace(record, doses=(*past, *doses)), treatments=(name,))
    if regimen is not None:
        raise ModelError(
            "an event starts this treatment, not doses",
            subject=f"model {model.name}",
            place=f"forecast row {name!r}",
            next_step="Give no regimen, or add a treatment to the model that starts with doses.",
        )
    if cut.in_force and cut.in_force[1] == name:
        return Plan(
            name,
            known.label,
            "current",
            cut.in_force[0],
            False,
            without_plans(model, record, now),
            evidence=known.evidence,
            assumption="continued as it is" + (COUNTED if model.progression is not None else ""),
            treatments=(name,),
        )
    refused, unknown = eligibility(model, known, record, now)
    planned = [t for t, n in treatment_starts(model, record) if n == name and t > now]
    start = planned[0] if planned else earliest_start(model, known, record, now)
    return Plan(
        name,
        known.label,
        "planned" if planned else "option",
        start,
        True,
        with_start(model, without_plans(model, record, now), known, start, cut),
        refused,
        unknown,
        known.evidence,
        known.assumption,
        treatments=(name,),
        **_on_the_way(model, record, known, start, cut),
    )


def _on_the_way(model, record, known, start: float, cut: Cut) -> dict:
    """Of a treatment that starts later: its leukapheresis, the wait ahead, and what those get who never get it.

    Progression counts from the planned start, whether it is given then or not.
    """
    if start <= cut.now:
        return {}
    taken = leukapheresis_of(model, known, record, cut.now) if known.cell_therapy else cut.now
    found = {"leukapheresis": taken if cut.now < taken < start else None}
    if known.never_starts is None or not known.wait:
        return found
    waits, in_force = (start - cut.now) / known.wait, cut.in_force[1] if cut.in_force else ""
    rest = without_plans(model, record, cut.now)
    if known.instead not in ("", in_force):
        other = model.treatment(known.instead)
        given = with_start(model, rest, other, start, cut)
        otherwise = Plan(other.name, other.label, "otherwise", start, True, given, treatments=(other.name,))
    elif in_force:
        otherwise = replace(_plan(model, record, in_force, None, cut), role="otherwise", start=start, new=True)
    else:
        otherwise = Plan("", "nothing", "otherwise", start, True, rest)
    return found | {"waits": waits, "otherwise": otherwise}


def _scheduled(model, record, name, schedule, cut: Cut) -> Plan:
    """Treatments at fixed times."""
    steps, now = check_schedule(model, schedule, name, cut.span), cut.now
    in_force = cut.in_force[1] if cut.in_force else ""
    if steps[0][1] == in_force:  # it goes on
        steps = steps[1:]
    sequence = [(now + time, treatment) for time, treatment in steps]
    made, refused, unknown = _given(model, record, name, sequence, cut)
    new = bool(sequence) and sequence[0][0] == now
    sequence = sequence if new else [(now, in_force), *sequence]
    said = schedule_in_words(model, [(t - now, n) for t, n in sequence if n])
    named = tuple(n for _, n in sequence)
    return _of_several(model, name, named, cut, new, made, refused, unknown, assumption=said, sequence=tuple(sequence))


def _given(model, record, row, sequence, cut: Cut) -> tuple[PatientRecord, str, tuple[str, ...]]:
    """The record with a sequence of (time, treatment) in it, why there is no number, and what could not be checked."""
    doses = any(model.treatment(name).starts_with == "dose" for _, name in sequence)
    made = replace(record, doses=doses_until(record, cut.now)) if doses else record
    made, refused = without_plans(model, made, cut.now), ""
    unknown: tuple[str, ...] = ()
    for (start, name), (end, _) in zip(sequence, (*sequence[1:], (float("inf"), ""))):
        known = model.treatment(name)
        earliest = earliest_start(model, known, record, cut.now)
        if start < earliest - MOMENT:
            raise ModelError(
                f"{name} cannot start before its waiting time is over",
                subject=f"patient {record.key}",
                place=f"forecast row {row!r}",
                value=f"{start - cut.now:g} {model.time_unit} after the data cut",
                allowed=f"at least {earliest - cut.now:g} {model.time_unit}",
            )
        why, not_checked = eligibility(model, known, made, start, set_out=cut.now + start - earliest)
        refused, unknown = refused or why, (*unknown, *not_checked)
        if known.starts_with == "dose":
            given = doses_of(model, record, name, known.regimen, begin(model, record, cut, start))
            made = replace(made, doses=(*made.doses, *(d for d in given if d.time < end)))
        else:
            made = with_start(model, made, known, start, cut)
    return made, refused, unknown


def _followed(model, record, name, policy, cut: Cut) -> Plan:
    """Treatments that the labs decide."""
    since, in_force = cut.in_force or (cut.now, "")
    check_policy(model, policy, name, in_force=in_force, on_it=cut.now - since, span=cut.span)
    made, new = without_plans(model, record, cut.now), policy.start not in ("", in_force)
    found = [eligibility(model, model.treatment(t), made, cut.now) for t in policy.treatments if t != in_force]
    if new:
        made = with_start(model, made, model.treatment(policy.start), cut.now, cut)
    named = (policy.start or in_force, *policy.treatments)
    return _of_several(
        model,
        name,
        named,
        cut,
        new,
        made,
        next((why for why, _ in found if why), ""),
        tuple(rule for _, rules in found for rule in rules),
        assumption=policy_in_words(model, policy),
        policy=policy,
    )


def _of_several(model, name, named, cut, new, record, refused, unknown, **more) -> Plan:
    """The row of a schedule or a policy: evidence of every treatment it can give, each line once."""
    named = tuple(dict.fromkeys(n for n in named if n))
    evidence = "; ".join(dict.fromkeys(model.treatment(n).evidence for n in named if model.treatment(n).evidence))
    start = cut.now if new or not cut.in_force else cut.in_force[0]
    unknown = tuple(dict.fromkeys(unknown))
    return Plan(name, name, "option", start, new, record, refused, unknown, evidence, treatments=named, **more)
