"""`check-fit`: VPC of death and progression, where the model has their hazards."""

from pathlib import Path


def write_events(out: Path, population, cohort, *, seed: int, count: int, probability: float) -> list[str]:
    """vpc_event_<event>.csv and .png of every event of the model; what they say in words, a line each."""
    from bayestwin.evaluation.event_checks import event_vpc
    from bayestwin.evaluation.event_replicates import event_replicates, ways_of
    from bayestwin.plots.predictive_checks import plot_event_vpc

    model = population.model
    if not ways_of(model):
        return []
    if not any(record.events for record in cohort):
        return ["no events were given (--events), so none are checked"]
    found, words = event_replicates(population, cohort, random_seed=seed, count=count), []
    table = event_vpc(found, probability=probability)
    if found.failures:
        words.append(f"{100 * found.failures:.2g} % of the simulated courses could not be solved and have no event")
    for event, rows in table.groupby("event", sort=False):
        rows.to_csv(out / f"vpc_event_{event}.csv", index=False)
        ax = plot_event_vpc(rows, probability=probability, label=str(event), time_label=f"time, {model.time_unit}")
        ax.figure.savefig(out / f"vpc_event_{event}.png", dpi=150)
        outside = int(((rows["observed"] < rows["low"]) | (rows["observed"] > rows["high"])).sum())
        first = rows.iloc[0]
        words.append(
            f"{event}: {first['events']} of {len(found.courses)} patients, "
            f"{100 * probability:g} % of simulated cohorts {first['events_low']:.0f} to {first['events_high']:.0f}; "
            f"Kaplan-Meier {outside} of {len(rows)} points outside their bands"
        )
    return words
