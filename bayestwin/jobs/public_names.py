"""What stands for a patient in logs, `current.json` and the notes beside reports: a study key, never a name.

A key that may be a name, an address or a date of birth is replaced by the mark that the audit log uses. Whoever knows
the key finds its mark with `bayestwin history`.
"""

from bayestwin.records.refusal import is_study_key


def public_name(store, key: str) -> str:
    """The key, or the mark of a key that may identify somebody."""
    return key if is_study_key(key) else f"mark {store.mark(key)}"


def discreet(store, key: str, text: str) -> str:
    """A text about a patient, fit for others: a key that may identify somebody is replaced in it."""
    return text if is_study_key(key) or not key else text.replace(key, public_name(store, key))
