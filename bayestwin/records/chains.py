"""The earlier record as chains: the versions of each name, in the order in which they became known."""

from dataclasses import dataclass

from bayestwin.dosing import DoseEvent
from bayestwin.records.names import Body, named_by_time, own_name
from bayestwin.records.placing import Placed
from bayestwin.records.record import ClinicalEvent, Lab, PatientRecord, Superseded

RANK = {"final": 0, "corrected": 1, "retracted": 2}


@dataclass(frozen=True)
class Version:
    """One row of a name; body None withdraws; placed None means it comes from the earlier record."""

    known: float
    body: Body | None
    placed: Placed | None = None
    rank: int = -1


def chains_of(base: PatientRecord | None, routes) -> dict[str, list[Version]]:
    """The earlier record as versions by name, oldest first."""
    chains: dict[str, list[Version]] = {}
    if base is None:
        return chains
    counts: dict[str, int] = {}
    rows: list[Body] = [*base.labs, *base.doses, *base.events]
    for row in rows:
        key = key_of(row, routes)
        if isinstance(row, DoseEvent):
            counts[key] = counts.get(key, 0) + 1
            key = own_name(row, counts[key], routes)
        chains.setdefault(key, []).append(Version(row.known_time, row))
    _add_past_doses(chains, [s for s in base.past if isinstance(s.row, DoseEvent)], counts, routes)
    for old in base.past:
        if isinstance(old.row, DoseEvent):
            continue
        chain = chains.setdefault(key_of(old.row, routes), [])
        chain.append(Version(old.row.known_time, old.row))
        starts = [v.known for v in chain] + [
            s.row.known_time for s in base.past if key_of(s.row, routes) == key_of(old.row, routes)
        ]
        if old.until not in starts or old.until == old.row.known_time:
            chain.append(Version(old.until, None))
    return {key: sorted(chain, key=lambda v: v.known) for key, chain in chains.items()}


def _add_past_doses(chains: dict[str, list[Version]], past: list[Superseded], counts: dict[str, int], routes) -> None:
    """Put each dose once believed before the one that took its place, or that came after its withdrawal; one withdrawn
    while the others of its time were believed is a chain of its own.
    """
    for old in sorted(past, key=lambda s: s.until, reverse=True):
        row, stem = old.row, key_of(old.row, routes)
        names = [own_name(row, n, routes) for n in range(1, counts.get(stem, 0) + 1)]
        took_its_place = [n for n in names if chains[n][0].known == old.until > row.known_time]
        name = next(iter([*took_its_place, *(n for n in names if chains[n][0].known > old.until)]), "")
        if not name:
            counts[stem] = counts.get(stem, 0) + 1
            name = own_name(row, counts[stem], routes)
        withdrawn = [] if took_its_place else [Version(old.until, None)]
        chains[name] = [Version(row.known_time, row), *withdrawn, *chains.get(name, [])]


def key_of(row: Body, routes) -> str:
    """Name under which versions of a row are kept: of a lab its own, else that of the first of its kind and time."""
    return f"lab {row.lab_id}" if isinstance(row, Lab) else own_name(row, 1, routes)


def meant_by(key: str, chains: dict[str, list[Version]], new: dict[str, list[Version]]) -> list[str] | None:
    """Names that a correction or withdrawal may mean which finds no earlier row under its own; None where it finds one.

    Labs without lab_id and doses have a name per place among the doses of their time (`order`), events of which a
    patient may have several at once one per value.
    """
    mine = new[key]
    if key in chains or any(v.rank < RANK["corrected"] for v in mine):
        return None
    body = mine[0].placed.body
    if isinstance(body, Lab) and not named_by_time(body):
        return None
    named = {k for k, versions in chains.items() if versions[-1].body is not None}
    named |= {k for k, versions in new.items() if any(v.rank < RANK["corrected"] for v in versions)}
    return sorted(k for k in named if _stem(k, body) == _stem(key, body))


def _stem(key: str, body: Body) -> str:
    return " ".join(key.split(" ")[:2]) if isinstance(body, ClinicalEvent) else key.partition("#")[0]
