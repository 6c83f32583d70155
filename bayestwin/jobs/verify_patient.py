"""One patient's verification in files: the table, every comparison, and what both rest on."""

import json
from datetime import UTC, datetime
from pathlib import Path

from bayestwin.jobs.whole_file import write_whole


def write_verification(found, population, record, out: Path, asked: dict) -> list[Path]:
    """`out` holds the table, `<name>_comparisons.csv` every comparison, `<name>.provenance.json` what they rest on."""
    said = {
        "model": population.model.name,
        "model_hash": population.model.hash,
        "population_hash": population.hash,
        "data_hash": record.data_hash,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": {row.name: row.says for row in found.rows},
        "forecast": found.forecast,
        "equal": found.equal,
        "result": found.sentence,
        **asked,
    }
    files = {
        out: found.table.to_csv(index=False),
        out.with_name(f"{out.stem}_comparisons.csv"): found.comparisons.to_csv(index=False),
        out.with_name(f"{out.stem}.provenance.json"): json.dumps(said, indent=1, sort_keys=True) + "\n",
    }
    return [write_whole(path, text) for path, text in files.items()]
