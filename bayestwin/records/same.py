"""When two rows say the same: equal values, whatever their unit was in the file."""

from math import isclose

from bayestwin.dosing import DoseEvent
from bayestwin.records.names import Body
from bayestwin.records.record import ClinicalEvent, Lab


def same(a: Body, b: Body) -> bool:
    """The same value at the same time; what became known when does not count."""

    def close(*pairs) -> bool:
        return all(isclose(x, y, rel_tol=1e-9, abs_tol=1e-12) for x, y in pairs)

    if isinstance(a, Lab) and isinstance(b, Lab):
        ends = ((a.upper, b.upper),) if a.upper is not None and b.upper is not None else ()
        equal = (a.output, a.censoring) == (b.output, b.censoring)
        return equal and close((a.time, b.time), (a.value, b.value), *ends)
    if isinstance(a, DoseEvent) and isinstance(b, DoseEvent):
        lengths = (a.duration, b.duration), (a.ii, b.ii), (a.lag, b.lag)
        shares = (a.amount, b.amount), (a.rate, b.rate), (a.bioavailability, b.bioavailability)
        kinds = [(d.addl, d.ss, d.reset, d.treatment, d.modelled) for d in (a, b)]
        return close(*lengths, *shares) and kinds[0] == kinds[1]
    if isinstance(a, ClinicalEvent) and isinstance(b, ClinicalEvent):
        return close((a.time, b.time)) and a.value == b.value
    return False
