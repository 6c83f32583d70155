"""One patient brought up to date: twin, forecast, report; nothing is published that failed a check.

    record and last good twin ──update_twin──▶ twin ──forecast──▶ prognosis ──make_report──▶ page and JSON

Everything is a function of the store's seed, the patient's key, the record and the population, so that a run that was
killed and started again makes the same bytes as one that was not. (Wall time is logged, not kept, for that reason.)
"""

import time as clock
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bayestwin.errors import RecordError, StoreError
from bayestwin.evaluation.pooled_surprise import surprise_rows
from bayestwin.jobs.basis import Basis, versions
from bayestwin.jobs.patient_report import SCORED, main_chance, patient_report, withheld_because
from bayestwin.jobs.patient_rows import record_of, refusals_of
from bayestwin.prognosis import forecast
from bayestwin.prognosis.observed_endpoints import died_by
from bayestwin.prognosis.row import DIED
from bayestwin.prognosis.save import prognosis_to_tree
from bayestwin.store import tree_bytes
from bayestwin.store.items import current
from bayestwin.store.outcomes import HELD, PUBLISHED, Outcome, outcomes_of
from bayestwin.twin import Twin, load_twin, predict_labs, start_twin, update_twin
from bayestwin.twin.compare import difference
from bayestwin.twin.save import twin_to_tree

PASS, WITHHELD = "PASS", "WITHHELD"
EARLIER_TWINS = 5
SURPRISES = "surprises"  # fact of an outcome whose twin failed its check and is not kept: what it expected of new labs
WITH_VALUES = (SCORED, SURPRISES)  # facts that hold values of labs, which no log line does


@dataclass(frozen=True)
class Moved:
    """What one update came to. made : role -> Kept; facts : for lists, and for the log all but WITH_VALUES"""

    key: str
    state_hash: str
    status: str
    reason: str = ""
    made: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def move_patient(store, basis: Basis, key: str, *, rebuild_damaged: bool = False, as_of=None) -> Moved:
    """Bring one patient's twin, forecast and report to the record that the store holds.

    rebuild_damaged : where the file of the last twin is damaged, start again from the whole record
    as_of : day of the report, from which the age of dated labs counts; None for today

    Raises
    ------
    BayestwinError      whatever makes an update impossible, damaged draws included
    """
    begin = clock.perf_counter()
    with store.reading() as connection:
        items = current(connection, [key]).get(key, [])
        past = outcomes_of(connection, key)
    record, refusals = record_of(key, items), refusals_of(key, items)
    if not record.labs and refusals:
        raise RecordError(
            f"no lab is left, and {len(refusals)} rows were refused, the first: {refusals[0]}",
            subject=f"patient {key}",
            place="labs",
            allowed="at least one usable lab of a patient whose rows were refused",
            next_step="Look at `bayestwin refused`: the files may be of another model's disease.",
        )
    seed = basis.seed_for(key, record.data_hash)
    twins = Twins(store, basis)
    twin, notes = _moved_twin(twins, record, past, seed, rebuild_damaged)
    info = replace(twin.info, seconds=0.0, reasons=(*notes, *twin.info.reasons))
    twin = replace(twin, history=(*twin.history[:-1], info)).with_refusals(refusals)
    facts: dict[str, Any] = {
        "path": info.path,
        "verdict": info.verdict,
        "ess": round(info.ess, 1),
        "pareto_k": round(info.pareto_k, 3) if np.isfinite(info.pareto_k) else None,
        "new_labs": info.new_labs,
        "labs": len(record.labs),
        "time": twin.time,
    }
    if alarms := [f"{s.output} at {s.time:g}: {s.alarm}?" for s in info.surprise if s.alarm]:
        facts["alarms"] = alarms
    if info.anchor_gap is not None:
        facts |= {"anchor_gap": round(info.anchor_gap, 2), "anchor_shift": round(float(info.anchor_shift), 3)}
    if info.verdict != PASS:
        expected = surprise_rows(replace(twin, history=twin.history[-1:]))
        facts[SURPRISES] = [{name: row[name] for name in row if name != "patient"} for row in expected]
        return Moved(key, record.data_hash, HELD, "; ".join(info.reasons), {}, facts, clock.perf_counter() - begin)
    twin_kept = _keep(store, basis, twin_to_tree(twin), "twin", record, seed, parent=_last(past, "twin"))
    if died_by(record, twin.time):
        made = {"twin": twin_kept}
        return Moved(key, record.data_hash, HELD, DIED, made, facts, clock.perf_counter() - begin)
    prognosis = forecast(twin, None, random_seed=seed)
    prognosis_kept = _keep(store, basis, prognosis_to_tree(prognosis), "prognosis", record, seed, twin_kept.name)
    made = {"twin": twin_kept, "prognosis": prognosis_kept}
    facts |= main_chance(prognosis)
    report, scored = patient_report(twins, twin, prognosis, past, rebuild_damaged, as_of)
    facts |= {SCORED: scored, "inside_80": [sum(row["inside"] for row in scored), len(scored)]}
    if report.status == WITHHELD:
        why = withheld_because(report.document)
        return Moved(key, record.data_hash, HELD, why, made, facts, clock.perf_counter() - begin)
    common = {"file": report.name, "status": report.status, "parent": prognosis_kept.name}
    facts["report"] = report.name
    made["report"] = store.put(report.html.encode(), kind="report", suffix=".html", subject=key, **common)
    made["report_json"] = store.put(report.json.encode(), kind="report_json", suffix=".json", subject=key, **common)
    return Moved(key, record.data_hash, PUBLISHED, "", made, facts, clock.perf_counter() - begin)


class Twins:
    """Stored twins of one patient, each read once: reading one takes longer than reweighting it."""

    def __init__(self, store, basis: Basis):
        self.store, self.basis = store, basis
        self._read: dict[str, Twin] = {}

    def __getitem__(self, name: str):
        if name not in self._read:
            with self.store.files.at_hand(name, ".nc") as path:
                self._read[name] = load_twin(path, self.basis.model)
        return self._read[name]

    def readable(self, names) -> tuple:
        """Those that can be read; of one that cannot, the next older one serves."""
        found = []
        for name in dict.fromkeys(names):
            try:
                found.append(self[name])
            except StoreError:
                continue
        return tuple(found)


def _moved_twin(twins, record, past, seed, rebuild_damaged):
    """The twin at the newer record, and what should be known about how it came about."""
    basis = twins.basis
    usable = [o for o in past if o.basis == basis.name and "twin" in o.objects]
    notes: tuple[str, ...] = ()
    if usable:
        try:
            last = twins[usable[-1].objects["twin"]]
        except StoreError as error:
            if not rebuild_damaged:
                raise
            notes = (f"started again from the whole record, because the last twin could not be read: {error}",)
        else:
            earlier = ()
            if difference(last, record).taken_away:
                earlier = twins.readable([o.objects["twin"] for o in usable[-1 - EARLIER_TWINS : -1]])
            twin, _ = update_twin(last, record, random_seed=seed, population=basis.population, earlier=earlier)
            return twin, notes
    twin = start_twin(basis.population, record, random_seed=seed, **basis.sizes)
    return _with_past(twins, twin, past, seed), notes


def _with_past(twins, twin, past, seed):
    """A twin that was started anew, with the surprises of those before it: of other populations, or damaged since.

    Labs that the last of them had not seen are expected by it, or, where what it learnt was changed, by the newest that
    had not learnt that; the new twin's own start had them all.
    """
    names = [o.objects["twin"] for o in reversed(past) if "twin" in o.objects]
    before = twins.readable(names[: 1 + EARLIER_TWINS])
    if not before:
        return twin
    known, seen = {(lab.lab_id, lab.time) for lab in before[0].record.labs}, ()
    one = next((t for t in before if not difference(t, twin.record).taken_away), None)
    if one is not None and any((lab.lab_id, lab.time) not in known for lab in twin.record.labs):
        seen = predict_labs(one, twin.record, random_seed=seed)
    seen = tuple(s for s in seen if (s.lab_id, s.time) not in known)
    known |= {(s.lab_id, s.time) for s in seen}
    own = [replace(i, surprise=tuple(s for s in i.surprise if (s.lab_id, s.time) not in known)) for i in twin.history]
    own[-1] = replace(own[-1], surprise=(*own[-1].surprise, *seen))
    return replace(twin, history=(*before[0].history, *own))


def _keep(store, basis, tree, kind, record, seed, parent=""):
    provenance = {
        "model": basis.model.name,
        "model_hash": basis.model.hash,
        "data_hash": record.data_hash,
        "seed": seed,
        "versions": versions(),
        "population": basis.name,
        "parent": parent,
    }
    return store.put(tree_bytes(tree), kind=kind, suffix=".nc", subject=record.key, **provenance)


def _last(past: list[Outcome], role: str) -> str:
    return next((o.objects[role] for o in reversed(past) if role in o.objects), "")
