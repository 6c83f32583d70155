"""Response observed so far by the criteria of the model's folder, as a report shows it; never a predicted one."""

from bayestwin.report.model import ObservedResponse


def observed_response(table, unit: str) -> ObservedResponse:
    """What a response table says of the treatment in force, up to its last visit.

    Progression, coded or in the record's events, whichever the endpoint TTP ends with; else the best confirmed
    response, else the category of the last visit, not confirmed.
    unit : "day" or "hour"
    """
    coded, visits = table.coded, table.assessments
    ended = table.endpoint("TTP")
    if ended is not None and ended.event:
        worse = coded.progression
        if worse is not None and worse.time == ended.time and worse.why == ended.reason:
            return ObservedResponse("PD", f"{unit} {worse.time:g}", True, coded.measured_by)
        return ObservedResponse("PD", f"{unit} {ended.time:g}", None, (ended.reason,))
    if not visits:
        return ObservedResponse("not yet assessed", basis=coded.measured_by)
    if coded.best:
        return ObservedResponse(coded.best, f"{unit} {coded.best_at:g}", True, coded.measured_by)
    last = visits[-1]
    if last.category == "NE":
        return ObservedResponse("not evaluable", f"{unit} {last.time:g}", None, coded.measured_by)
    return ObservedResponse(last.category, f"{unit} {last.time:g}", False, coded.measured_by)
