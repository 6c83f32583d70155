"""The folder of reports: a view of the store that shows, for each patient, the one report in force.

    reports/bt_<id>_<date>_v<n>.html, .json         the report in force
    reports/<the same>.superseded_data_waiting.txt  beside a report that newer data could not replace: why
    reports/current.json                            patient -> report and its state

Earlier reports stay in the store, byte for byte (`bayestwin believed`). Each file is written under another name and
renamed; the folder is only touched under the store's write lock, so two refreshes never undo each other's work.
"""

import json
from pathlib import Path

from bayestwin.errors import StoreError
from bayestwin.jobs.public_names import discreet, public_name
from bayestwin.store.durable import remove_durably, write_durably
from bayestwin.store.files import SEALED
from bayestwin.store.outcomes import PUBLISHED, InForce, in_force, outcomes_of

WAITING = "superseded data waiting"
REPORTS = {"report": ".html", "report_json": ".json"}
INDEX = "current.json"


def publish_one(store, key: str) -> None:
    """Bring the files of one patient to what the store says: first the new ones, then the index, then older ones go.

    Where a new one cannot be written nothing else is touched; `publish_all` tells it.
    """
    with store.writing() as connection:
        for entry in in_force(connection, subject=key):
            wanted = _files_of(store, entry)
            if _write_missing(store, wanted):
                return
            _write_entry(store, entry)
            for old in published_files(connection, key):
                if old not in wanted:
                    remove_durably(store.files.reports / old)


def publish_all(store) -> list[str]:
    """Make the folder say what the store says, whatever a killed run left.

    Returns a sentence for each report that cannot be shown because its file in the store is damaged or missing.
    """
    with store.writing() as connection:
        entries = in_force(connection)
        wanted: dict[str, tuple[str, str] | bytes] = {}
        for entry in entries:
            wanted |= _files_of(store, entry)
        problems = _write_missing(store, wanted)
        _write_index(store, [_index_entry(store, entry) for entry in entries])
        for path in store.files.reports.glob("bt_*"):
            if path.name not in wanted:
                remove_durably(path)
    return problems


def _write_index(store, entries: list[dict]) -> None:
    index, target = json.dumps(entries, indent=1) + "\n", store.files.reports / INDEX
    if not target.is_file() or target.read_text(encoding="utf-8") != index:
        write_durably(target, index.encode())


def _write_entry(store, entry: InForce) -> None:
    """One patient's entry of the index anew; the others stay as they are until `publish_all`."""
    try:
        entries = json.loads((store.files.reports / INDEX).read_text(encoding="utf-8"))
        others = {one["patient"]: one for one in entries}
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return  # `publish_all` makes it anew
    mine = _index_entry(store, entry)
    _write_index(store, list((others | {mine["patient"]: mine}).values()))


def published_files(connection, key: str) -> list[str]:
    """Names that the reports of a patient have or had in the folder."""
    names = []
    for outcome in outcomes_of(connection, key):
        if outcome.status == PUBLISHED:
            stem = outcome.facts["report"]
            names += [f"{stem}{end}{sealed}" for end in REPORTS.values() for sealed in ("", SEALED)]
            names.append(f"{stem}.superseded_data_waiting.txt")
    return names


def _files_of(store, entry: InForce) -> dict[str, tuple[str, str] | bytes]:
    """File name -> object (name, suffix) or text, for one patient."""
    if entry.published is None:
        return {}
    found: dict[str, tuple[str, str] | bytes] = {}
    stem = entry.published.facts["report"]
    for role, suffix in REPORTS.items():
        found[f"{stem}{suffix}{SEALED if store.files.cipher else ''}"] = (entry.published.objects[role], suffix)
    if not entry.fresh:
        why = discreet(store, entry.subject, _why(entry))
        text = f"{_ahead(entry)}\n{why}\n"
        found[f"{stem}.superseded_data_waiting.txt"] = text.encode()
    return found


def _why(entry: InForce) -> str:
    if entry.newest.number != entry.published.number:
        return f"The newer forecast is not shown: {entry.newest.reason}"
    what = "They have" if entry.other_record else "The newer population has"
    return f"{what} not been worked in yet; the next refresh does so."


def _ahead(entry: InForce) -> str:
    """What is ahead of the report that is shown."""
    if entry.other_record or entry.newest.state_hash != entry.published.state_hash:
        return "Newer data of this patient are known and not in this report."
    return "A newer population is in use, and this report rests on the one before it."


def _write_missing(store, wanted) -> list[str]:
    """Write what is not there yet; what cannot be written because its object is damaged, as sentences."""
    problems = []
    for name, content in wanted.items():
        target: Path = store.files.reports / name
        if isinstance(content, bytes):
            if not target.is_file() or target.read_bytes() != content:
                write_durably(target, content)
        elif not target.is_file():
            try:
                data = store.files.get(*content)
            except StoreError as error:
                problems.append(f"the report {name} cannot be shown: {error}")
                continue
            write_durably(target, store.files.cipher.seal(data, content[0]) if store.files.cipher else data)
    return problems


def _index_entry(store, entry: InForce) -> dict:
    named = {"patient": public_name(store, entry.subject)}
    if entry.published is None:
        reason = discreet(store, entry.subject, entry.newest.reason) if entry.newest else "not worked in yet"
        return named | {"report": None, "state": "no report", "reason": reason}
    said = named | {"report": entry.published.facts["report"]}
    why = "" if entry.fresh else discreet(store, entry.subject, _why(entry))
    return said | {"state": "current" if entry.fresh else WAITING, "reason": why}
