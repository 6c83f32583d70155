"""What stands for a patient in logs, `current.json` and the notes beside reports: a study key, never a name.

A key that may be a name, an address or a date of birth is replaced by the mark that the audit log uses. Whoever knows
the key finds its mark with `bayestwin history`.
"""

from dataclasses import replace
from typing import Any

from bayestwin.records.refusal import HIDDEN_KEY, SHOWN, Refusal, is_study_key, shown


def public_name(store, key: str) -> str:
    """The key, or the mark of a key that may identify somebody."""
    return key if is_study_key(key) else f"mark {store.mark(key)}"


def discreet(store, key: str, text: str) -> str:
    """A text about a patient, fit for others: a key that may identify somebody is replaced in it."""
    if is_study_key(key) or not key:
        return text
    name = public_name(store, key)
    return text.replace(key, name).replace(HIDDEN_KEY, name)  # an error has left it out already


def public_refusal(store, refusal: Refusal) -> Refusal:
    """A refused row, fit for others: a key that may identify somebody is replaced wherever the row repeats it."""
    key = refusal.key
    if is_study_key(key) or key in ("", HIDDEN_KEY):
        return refusal
    texts = {name: text for name in SHOWN if isinstance(text := getattr(refusal, name), str) and name != "file"}
    said: dict[str, Any] = {name: discreet(store, key, text.replace(shown(key), key)) for name, text in texts.items()}
    return replace(refusal, **said | {"patient": public_name(store, key)})
