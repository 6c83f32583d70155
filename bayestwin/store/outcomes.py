"""What each update came to, who is due, and who holds whom.

An outcome belongs to a state of a subject's record (its hash) and to a basis (the population it rests on). A subject is
due where its newest outcome speaks of another state or basis, or failed in an earlier run. Statuses:

    published   a new answer is in force
    held        made, but not good enough to be published; the answer before it stays in force
    failed      could not be made; tried again in the next run
"""

import json
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, and_, insert, or_, select, update

from bayestwin.store.schema import meta, now, outcomes, subjects

PUBLISHED, HELD, FAILED = "published", "held", "failed"


@dataclass(frozen=True)
class Outcome:
    """objects : what it made, role -> name; facts : small numbers worth having without opening a file"""

    number: int
    subject: str
    state_hash: str
    basis: str
    status: str
    reason: str
    objects: dict[str, str]
    facts: dict[str, Any]
    at: datetime


def _outcome(row) -> Outcome:
    parts = (row.id, row.subject, row.state_hash, row.basis, row.status, row.reason)
    return Outcome(*parts, json.loads(row.objects), json.loads(row.facts), row.at)


def outcomes_of(connection: Connection, subject: str) -> list[Outcome]:
    """All outcomes of a subject, oldest first."""
    wanted = select(outcomes).where(outcomes.c.subject == subject).order_by(outcomes.c.id)
    return [_outcome(row) for row in connection.execute(wanted)]


def tried_since(connection: Connection, moment: datetime) -> list[Outcome]:
    """Newest outcomes of the subjects that were tried since this moment, in order of their keys.

    Not the rows since then: of an outcome that says what the one before it said no row is added.
    """
    wanted = select(outcomes).join(subjects, subjects.c.latest == outcomes.c.id).where(subjects.c.tried_at >= moment)
    return sorted(map(_outcome, connection.execute(wanted)), key=lambda outcome: outcome.subject)


def add_outcome(
    connection: Connection, subject: str, state_hash: str, basis: str, status: str, reason: str, made, facts
) -> bool:
    """Append an outcome; False where the newest one says the same already."""
    row = {"state_hash": state_hash, "basis": basis, "status": status, "reason": reason}
    row |= {"objects": json.dumps(made, sort_keys=True), "facts": json.dumps(facts, sort_keys=True)}
    here = subjects.c.subject == subject
    newest = select(outcomes).join(subjects, subjects.c.latest == outcomes.c.id).where(here)
    last = connection.execute(newest).first()
    connection.execute(update(subjects).where(here).values(tried_at=now()))
    if last is not None and all(getattr(last, name) == value for name, value in row.items()):
        return False
    number = connection.execute(insert(outcomes).values(subject=subject, at=now(), **row)).inserted_primary_key[0]
    moved = {"latest": number} | ({"published": number} if status == PUBLISHED else {})
    connection.execute(update(subjects).where(here).values(**moved))
    return True


def set_state(connection: Connection, subject: str, state_hash: str) -> None:
    """The record of a subject now has this hash."""
    here = subjects.c.subject == subject
    if not connection.execute(update(subjects).where(here).values(state_hash=state_hash)).rowcount:
        connection.execute(insert(subjects).values(subject=subject, state_hash=state_hash))


def state_of(connection: Connection, subject: str):
    """The row of a subject, None where the store does not know it."""
    return connection.execute(select(subjects).where(subjects.c.subject == subject)).first()


def tried(connection: Connection) -> list[str]:
    """Subjects of which something was tried, in order of their keys."""
    wanted = select(subjects.c.subject).where(subjects.c.latest.is_not(None))
    return sorted(connection.execute(wanted).scalars())


def due(connection: Connection, basis: str, run_began: datetime, *, subject: str | None = None) -> dict[str, str]:
    """Subjects whose newest outcome is not about their record as it now is, and its hash; in order of their keys.

    subject : ask for this one only
    """
    stale = or_(
        subjects.c.latest.is_(None),
        outcomes.c.state_hash != subjects.c.state_hash,
        outcomes.c.basis != basis,
        and_(outcomes.c.status == FAILED, subjects.c.tried_at < run_began),
    )
    wanted = select(subjects.c.subject, subjects.c.state_hash).where(stale)
    if subject is not None:
        wanted = wanted.where(subjects.c.subject == subject)
    found = connection.execute(wanted.outerjoin(outcomes, subjects.c.latest == outcomes.c.id))
    return {row.subject: row.state_hash for row in sorted(found, key=lambda row: row.subject)}


@dataclass(frozen=True)
class InForce:
    """What is shown for a subject.

    fresh : the outcome in force speaks of the record as it now is and rests on the basis now in use
    other_record, other_basis : the newest outcome, whatever it came to, speaks of another one
    """

    subject: str
    fresh: bool
    published: Outcome | None
    newest: Outcome | None
    other_record: bool = False
    other_basis: bool = False


def in_force(connection: Connection, *, subject: str | None = None) -> list[InForce]:
    """What is shown for every subject, in order of their keys; subject : for this one only."""
    latest, shown = outcomes.alias("latest"), outcomes.alias("shown")
    joined = subjects.outerjoin(latest, subjects.c.latest == latest.c.id)
    joined = joined.outerjoin(shown, subjects.c.published == shown.c.id)
    sides = [c.label(f"{side.name}_{c.name}") for side in (latest, shown) for c in side.c]
    wanted = select(subjects.c.subject, subjects.c.state_hash, *sides).select_from(joined)
    if subject is not None:
        wanted = wanted.where(subjects.c.subject == subject)
    found, basis = [], connection.execute(select(meta.c.basis)).scalar()
    for row in connection.execute(wanted):
        newest, published = _side(row, "latest"), _side(row, "shown")
        other_record = newest is not None and newest.state_hash != row.state_hash
        other_basis = newest is not None and basis is not None and newest.basis != basis
        fresh = newest is not None and newest.status == PUBLISHED and not (other_record or other_basis)
        found.append(InForce(row.subject, fresh, published, newest, other_record, other_basis))
    return sorted(found, key=lambda entry: entry.subject)


def _side(row, name: str) -> Outcome | None:
    """The outcome in the columns of one side of the join."""
    mine = {column.name: getattr(row, f"{name}_{column.name}") for column in outcomes.c}
    return None if mine["id"] is None else _outcome(SimpleNamespace(**mine))


def take(connection: Connection, subject: str, holder: str, until: datetime, dead: str | None = None) -> bool:
    """Take the lease of a subject; False where somebody else has it.

    dead : a holder of which it is known that it is gone
    """
    free = or_(subjects.c.holder.is_(None), subjects.c.held_until < now(), subjects.c.holder == (dead or holder))
    taken = update(subjects).where(subjects.c.subject == subject, free).values(holder=holder, held_until=until)
    return connection.execute(taken).rowcount == 1


def renew(connection: Connection, holder: str, until: datetime) -> None:
    """Hold on to all leases of this holder."""
    connection.execute(update(subjects).where(subjects.c.holder == holder).values(held_until=until))


def release(connection: Connection, subject: str, holder: str) -> None:
    """Let go of a lease."""
    mine = and_(subjects.c.subject == subject, subjects.c.holder == holder)
    connection.execute(update(subjects).where(mine).values(holder=None, held_until=None))
