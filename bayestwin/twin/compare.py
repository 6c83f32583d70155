"""What differs between the record a twin has seen and a newer one, and whether anything was taken away."""

from dataclasses import dataclass, replace

from bayestwin.dynamics import treatment_starts
from bayestwin.individual import (
    beginning,
    first_covariates,
    information_time,
    informative_labs,
    vital_facts,
    ways_named,
)
from bayestwin.records.record import Lab, covariate_changes


@dataclass(frozen=True)
class Change:
    """new_labs : labs not seen before; later_only : all that is new happened after the twin's time
    taken_away : something seen was retracted, corrected or changed; why : in words; nothing : the records agree"""

    new_labs: tuple
    later_only: bool
    taken_away: bool
    why: str
    nothing: bool


def _content(model, lab):
    """What of a lab the model learns from."""
    further = () if lab.upper is None else (lab.upper,)
    if model.tells_assays_apart and lab.output in model.observation_index:
        further += (model.observations[model.observation_index[lab.output]].assay_of(lab),)
    return (lab.lab_id, lab.output, lab.time, lab.value, lab.censoring, lab.order, *further)


def difference(twin, record) -> Change:
    """Compare the record a twin has seen with a newer one."""
    model, now = twin.model, twin.time
    seen = {_content(model, lab) for lab in twin.record.labs}
    newer = {_content(model, lab) for lab in record.labs}
    why = []
    for lab in sorted(seen - newer):
        again = [n for n in newer if n[:3] == lab[:3]]
        why.append(f"{lab[1]} at {lab[2]:g} {'corrected' if again else 'retracted'}")
    if why and (older := _older(twin.record, record)):
        why.append(older)
    kept = {_content(model, lab) for lab in informative_labs(model, record)}
    for lab in informative_labs(model, twin.record):
        if _content(model, lab) in newer - kept:
            why.append(f"{lab.output} at {lab.time:g} was derived from labs that are now known")
    ways, named = ways_named(model, twin.record), ways_named(model, record)
    if any(a and a != b for a, b in zip(ways, named)):
        why.append("the way of a death or of a progression changed")
    done = _past(model, twin.record, now, twin.applied)
    redone = _past(model, record, now, twin.applied)
    if done != redone:
        why.append(f"doses or treatments up to {now:g} changed")
    used = set(model.acting_covariates)
    changes, rechanged = (covariate_changes(one, used) for one in (twin.record, record))
    if [c for c in changes if c[0] <= now] != [c for c in rechanged if c[0] <= now]:
        why.append(f"a covariate up to {now:g} changed")
    begun, rebegun = (first_covariates(model, one) for one in (twin.record, record))
    for name in sorted(used):
        if begun.get(name) != rebegun.get(name):
            why.append(f"covariate {name} changed")
    before, after = vital_facts(model, twin.record), vital_facts(model, record)
    lost = [k for k, t in before.items() if t is not None and (after[k] is None or after[k] < t)]
    for k in lost:
        if not (k == "alive" and after["death"] is not None) and not why:
            why.append(f"an event that said '{k}' was taken away or moved")
    begin, rebegin = beginning(twin.record), beginning(record)
    if rebegin < begin:
        why.append("a row before the beginning of the record arrived")
    elif rebegin > begin and not why:
        why.append(f"what the record began with, at {begin:g}, was taken away or moved")
    new_labs = tuple(lab for lab in record.labs if _content(model, lab) not in seen)
    moved = [k for k in after if after[k] != before[k]]
    later = (
        all(lab.time > now for lab in new_labs)
        and all(after[k] is not None and after[k] > now for k in moved)
        and "progressed" not in moved
        and not any(a != b and before[k] == after[k] for a, b, k in zip(ways, named, ("death", "progressed")))
    )
    same = changes == rechanged and not new_labs and not moved and ways == named
    same = same and _future(model, record) == _future(model, twin.record)
    return Change(new_labs, later, bool(why), "; ".join(why), same and not why)


def _older(seen, record) -> str:
    """That a record without labs seen may be an older state of it; that they were withdrawn cannot be told from it."""
    newest, now = (
        max((r.known_time for r in (*one.labs, *one.doses, *one.events)), default=0.0) for one in (seen, record)
    )
    kept = {(lab.lab_id, lab.time) for lab in (*record.labs, *(s.row for s in record.past if isinstance(s.row, Lab)))}
    if now >= newest or all((lab.lab_id, lab.time) in kept for lab in seen.labs):
        return ""
    return f"the record's newest row became known at {now:g}, the twin's at {newest:g}: is this an older state of it?"


def _past(model, record, now, applied):
    """Doses and treatment starts that the twin's state already contains."""
    within = (lambda t: t <= now) if applied else (lambda t: t < now)
    doses = [replace(one, known_time=0.0) for dose in record.doses for one in dose.expanded() if within(one.time)]
    return sorted(doses, key=repr), [s for s in treatment_starts(model, record) if within(s[0])]


def _future(model, record):
    return [replace(d, known_time=0.0) for d in record.doses], treatment_starts(model, record), information_time(record)
