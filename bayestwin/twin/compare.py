"""What differs between the record a twin has seen and a newer one, and whether anything was taken away.

A record is older than the twin where rows that the twin has seen are missing, none of them withdrawn or gone by a
death, and the newest of them became known after all that the record holds.
"""

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
from bayestwin.records.after_death import time_of_death
from bayestwin.records.first_values import AT_FIRST, SAID
from bayestwin.records.names import own_name, spoken
from bayestwin.records.record import Lab, covariate_changes


@dataclass(frozen=True)
class Change:
    """new_labs : labs not seen before; later_only : all that is new happened after the twin's time
    taken_away : something seen was retracted, corrected or changed; why : in words; nothing : the records agree
    older : in words, that the record is older than the twin"""

    new_labs: tuple
    later_only: bool
    taken_away: bool
    why: str
    nothing: bool
    older: str = ""


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
            why.append(f"covariate {name} {'became known' if begun.get(name) is None else 'changed'}")
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
    older = _older(twin.record, record) if why else ""
    return Change(new_labs, later, bool(why), "; ".join((*why, older) if older else why), same and not why, older)


def _older(seen, record) -> str:
    """Both newest known times and the row that is missing, where the record is an older state of what was seen."""
    rows = (*record.labs, *record.doses, *record.events)
    held = {_name(row) for row in (*rows, *(s.row for s in record.past))}
    death = time_of_death(rows)
    gone = [row for row in (*seen.labs, *seen.doses, *seen.events) if _name(row) not in held]
    gone = [row for row in gone if getattr(row, "event", "") not in (AT_FIRST, *SAID)]
    gone = [row for row in gone if death is None or row.time <= death]
    newest = max(gone, key=lambda row: row.known_time, default=None)
    now = max((*(row.known_time for row in rows), *(s.until for s in record.past)), default=float("-inf"))
    if newest is None or newest.known_time <= now:
        return ""
    said = f"newest row became known at {now:g}" if rows else "record holds no row"
    return f"its {said}, the twin's at {newest.known_time:g}: {spoken(newest)}"


def _name(row) -> str:
    """What makes two rows speak of the same thing."""
    return row.lab_id if isinstance(row, Lab) and row.lab_id else own_name(row, 1, {})


def _past(model, record, now, applied):
    """Doses and treatment starts that the twin's state already contains."""
    within = (lambda t: t <= now) if applied else (lambda t: t < now)
    doses = [replace(one, known_time=0.0) for dose in record.doses for one in dose.expanded() if within(one.time)]
    return sorted(doses, key=repr), [s for s in treatment_starts(model, record) if within(s[0])]


def _future(model, record):
    return [replace(d, known_time=0.0) for d in record.doses], treatment_starts(model, record), information_time(record)
