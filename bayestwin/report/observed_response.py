"""Response observed so far from the followed marker alone, by the confirmed IMWG rule; never a predicted one.

Two consecutive assessments confirm a category. Without immunofixation and marrow a complete response cannot be
stated: the deepest category given is VGPR. Source: IMWG 2016.
"""

from bayestwin.report.model import ObservedResponse

_RULES = (("VGPR", 0.9), ("PR", 0.5), ("MR", 0.25))


def observed_response(model, record, started, now) -> ObservedResponse | None:
    """The best confirmed category since the current treatment started, or None before it."""
    if started is None or model.progression is None:
        return None
    rule = model.progression.rule_for(record.covariates)
    labs = [lab for lab in record.labs if lab.output == rule.output and lab.time <= now]
    before = [lab for lab in labs if lab.time <= started[0]]
    after = [lab for lab in labs if lab.time > started[0]]
    if not before or not after:
        return ObservedResponse("not yet assessed", basis=(rule.output,))
    base = before[-1].value
    fall = [1.0 - lab.value / base for lab in after]
    unit = "hour" if model.time_unit == "h" else "day"
    for name, share in _RULES:
        for k in range(len(after) - 1):
            if fall[k] >= share and fall[k + 1] >= share:
                return ObservedResponse(name, f"{unit} {after[k].time:g}", True, (rule.output,))
        if fall[-1] >= share:
            return ObservedResponse(name, f"{unit} {after[-1].time:g}", False, (rule.output,))
    return ObservedResponse("SD or less", f"{unit} {after[-1].time:g}", None, (rule.output,))
