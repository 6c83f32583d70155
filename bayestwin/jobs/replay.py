"""Replay of many patients: the twin and its rivals through the same labs, one patient after the other.

One patient's failure stops nobody else: it is told with its reason, and the rest goes on. Beside predictions.csv stands
a small JSON file that says what the forecasts rest on (population, seed, sizes, what was revealed).
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bayestwin.errors import BayestwinError, RecordError
from bayestwin.evaluation import predictions_frame, replay
from bayestwin.evaluation.event_replay import landmark_months, twin_event_rows
from bayestwin.evaluation.layers import replay_layer
from bayestwin.evaluation.rivals import event_rows, rival_rows
from bayestwin.individual import informative_labs
from bayestwin.jobs.whole_file import write_whole
from bayestwin.records import Cohort
from bayestwin.records.refusal import shown_key
from bayestwin.specification.observations import LAYERS
from bayestwin.units import convert


@dataclass(frozen=True)
class Replayed:
    """rows of predictions.csv; rivals : name -> rows of the same labs; failed : patient -> why there are no rows

    events : chances of no progression or death of the twin and of an event rival, at every assessment
    unforecast : patient -> labs that the model learns from and that have no row: with them came what changed the past
    """

    rows: list[dict] = field(default_factory=list)
    rivals: dict[str, list[dict]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    events: list[dict] = field(default_factory=list)
    unforecast: dict[str, int] = field(default_factory=dict)

    def frame(self):
        """The twin's rows as a DataFrame with the columns of predictions.csv."""
        return predictions_frame(self.rows)

    def rivals_frame(self):
        """The rivals' rows under each other, the column `forecaster` first."""
        import pandas as pd

        frames = [predictions_frame(rows).assign(forecaster=name) for name, rows in self.rivals.items()]
        whole = pd.concat(frames, ignore_index=True) if frames else predictions_frame([]).assign(forecaster="")
        return whole[["forecaster", *(c for c in whole.columns if c != "forecaster")]]


def replay_cohort(
    population,
    cohort,
    *,
    random_seed: int,
    rivals=(),
    event_rival=None,
    reveal_until: float | None = None,
    doses_known_until: float | None = None,
    progress=False,
    **sizes,
) -> Replayed:
    """Replay every patient of a cohort.

    Parameters
    ----------
    population : PopulationPosterior     fitted without these patients
    cohort : Cohort
    rivals : fitted rivals               see `bayestwin.evaluation.rivals`
    event_rival : a fitted LandmarkCox   then the twin forecasts events at every assessment too
    reveal_until, doses_known_until      as for `replay`
    sizes                                particles, islands, population_draws, as for `replay`
    progress : bool                      a bar on the standard error
    """
    from tqdm import tqdm

    limits: dict[str, Any] = {"reveal_until": reveal_until, "doses_known_until": doses_known_until}
    found = Replayed(rivals={rival.name: [] for rival in rivals})
    bar = tqdm(total=sum(len(record.labs) for record in cohort), unit="lab", disable=not progress)
    for record in cohort:
        bar.set_postfix_str(shown_key(record.key), refresh=False)
        done = bar.n
        try:
            rows, _ = replay(
                population,
                record,
                random_seed=random_seed,
                learnt=lambda panel: bar.update(len(panel.labs)),
                **limits,
                **sizes,
            )
            beside = {rival.name: rival_rows(rival, record, random_seed=random_seed, **limits) for rival in rivals}
            events = _events(population, record, event_rival, random_seed, sizes) if event_rival is not None else []
        except BayestwinError as error:
            found.failed[record.key] = str(error)
        else:
            found.rows.extend(rows)
            if without := _unforecast(population.model, record, rows, reveal_until):
                found.unforecast[record.key] = without
            found.events.extend(events)
            for name, own in beside.items():
                found.rivals[name].extend(own)
        bar.update(len(record.labs) - (bar.n - done))
    bar.close()
    return found


def _unforecast(model, record, rows, reveal_until: float | None) -> int:
    """Labs to forecast that have no row."""
    forecast = {(row["lab_id"], row["output"], row["time"]) for row in rows}
    asked = [lab for lab in informative_labs(model, record) if reveal_until is None or lab.time > reveal_until]
    return sum((lab.lab_id, lab.output, lab.time) not in forecast for lab in asked)


def replay_layers(population, cohort, *, random_seed: int, progress=False, **sizes) -> tuple[dict, dict[str, str]]:
    """Replay every patient once with the labs of each layer (evaluation/layers.py).

    Returns
    -------
    layer -> rows of predictions.csv, of the patients that every layer went through; patient -> why there are none
    """
    from tqdm import tqdm

    rows: dict[str, list[dict]] = {layer: [] for layer in LAYERS}
    failed: dict[str, str] = {}
    for record in tqdm(cohort, unit="patient", disable=not progress):
        try:
            own = {layer: replay_layer(population, record, layer, random_seed=random_seed, **sizes) for layer in LAYERS}
        except BayestwinError as error:
            failed[record.key] = str(error)
        else:
            for layer, found in own.items():
                rows[layer] += found
    return rows, failed


def _events(population, record, rival, random_seed: int, sizes) -> list[dict]:
    """Rows of the twin and of the rival at every assessment of one patient."""
    months, per_month = landmark_months(population.model), convert(1.0, "month", population.model.time_unit)
    own = twin_event_rows(population, record, random_seed=random_seed, **sizes)
    asked = event_rows(rival, [record], horizons=[month * per_month for month in months])
    return [*own, *(row | {"verdict": "PASS"} for row in asked)]


def training_part(population, cohort) -> Cohort:
    """The patients of `cohort` that the population was fitted on, for its rivals to learn from.

    Raises
    ------
    RecordError     some of the fitted patients are missing, or their record is another one than was fitted
    """
    fitted = [record for record in cohort if population.knows(record)]
    number = int(population.tree.attrs.get("n_patients", len(fitted)))
    if len(fitted) < number:
        raise RecordError(
            "the rivals would learn from fewer patients than the twin did",
            subject="training patients",
            value=f"{len(fitted)} of {number}",
            allowed="all patients that the population was fitted on",
            next_step="Name the folder that the population was fitted from.",
        )
    other = [record.key for record in fitted if not population.fitted_as(record)]
    if other:
        raise RecordError(
            "the record of a training patient is not the one that was fitted",
            subject=f"patient {other[0]}",
            value=f"{len(other)} such patients",
            next_step="Name the files that the population was fitted from.",
        )
    return Cohort(tuple(fitted), name="training part")


def provenance(population, cohort, **asked) -> dict:
    """What the predictions rest on; `asked` are the settings of the replay."""
    attrs = population.tree.attrs
    named = {name: attrs.get(name) for name in ("model", "model_hash", "versions", "verdict")}
    named["versions"] = json.loads(named["versions"] or "{}")
    return {
        **named,
        "population_hash": population.hash,
        "population_data_hash": attrs.get("data_hash"),
        "data_hash": cohort.data_hash,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **asked,
    }


def write_replay(found: Replayed, out: Path, said: dict) -> list[Path]:
    """predictions.csv and, beside it, `<name>_rivals.csv`, `_events.csv`, `.provenance.json`; the files written."""
    files = {out: found.frame().to_csv(index=False)}
    if found.rivals:
        files[out.with_name(f"{out.stem}_rivals.csv")] = found.rivals_frame().to_csv(index=False)
    if found.events:
        import pandas as pd

        files[out.with_name(f"{out.stem}_events.csv")] = pd.DataFrame(found.events).to_csv(index=False)
    said = said | {"failed": found.failed}
    files[out.with_name(f"{out.stem}.provenance.json")] = json.dumps(said, indent=1, sort_keys=True) + "\n"
    return [write_whole(path, text) for path, text in files.items()]
