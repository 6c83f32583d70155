"""Treatments against each other, from the same population draws and the same patient draws, with the range over rho.

    chance difference     d_m = p_m,B - p_m,A; shown as its mean with the 10 to 90 % range over m
    pair outcome          independent event noise: A later, B later, both after the horizon
    months gained         E[min(T_B, H)] - E[min(T_A, H)]
    confidence            share of population draws with d_m > 0

Not a randomised comparison: how a response to one treatment speaks of another is the declared rho, so a difference is
given for every declared rho or withheld. A model that declares none gives a difference only between rows of treatments
that this patient has had, when they are given in another order or at other times: the patient's own data speak of each.
"""

from dataclasses import dataclass

import numpy as np

from bayestwin.dynamics import treatment_starts
from bayestwin.errors import ModelError, refuse_other
from bayestwin.prognosis.given_before import given_before_words
from bayestwin.prognosis.printed import time_text
from bayestwin.prognosis.quantities import knowledge_spread
from bayestwin.prognosis.table import table
from bayestwin.twin.monte_carlo import island_error
from bayestwin.twin.surprise import weighted_quantiles


@dataclass(frozen=True)
class PairComparison:
    """Treatment b against treatment a at one month; see the module text. `withheld` says why there is no difference.

    by_rho : (rho, difference, low, high) per declared rho, which is that between the two; empty where no response has
        to speak of another
    mcse, pairs_mcse, months_gained_mcse : Monte Carlo errors of difference, pairs and gain (SD between random seeds)
    by_rho_mcse : of the differences in by_rho. Ranges, and the confidence, a share of population draws, have none: see
        `quantities.Chance`
    given_before : that the patient has had treatment b before, when and with what response; "" where not
    """

    a: str
    b: str
    month: int
    difference: float | None = None
    p80: tuple[float, float] | None = None
    by_rho: tuple[tuple[float, float, float, float], ...] = ()
    pairs: tuple[float, float, float] | None = None
    confidence_b_higher: float | None = None
    months_gained: float | None = None
    months_gained_p80: tuple[float, float] | None = None
    withheld: str = ""
    given_before: str = ""
    mcse: float | None = None
    pairs_mcse: tuple[float, float, float] | None = None
    months_gained_mcse: float | None = None
    by_rho_mcse: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class TreatmentComparison:
    """All pairs against a reference."""

    reference: str
    rows: tuple[PairComparison, ...]

    def difference(self, a: str, b: str, month: int) -> PairComparison:
        """The comparison of b against a."""
        for row in self.rows:
            if (row.a, row.b, row.month) == (a, b, month):
                return row
        raise ModelError("no such comparison", value=f"{b} against {a} at {month} months")

    def pairs(self, a: str, b: str):
        """(a later, b later, both after the horizon)."""
        for row in self.rows:
            if (row.a, row.b) == (a, b):
                return row.pairs
        against = "; ".join(dict.fromkeys(f"{row.b} against {row.a}" for row in self.rows))
        raise ModelError("no such comparison", value=f"{b} against {a}", allowed=against)

    def to_frame(self):
        """One row per pair and month (pandas)."""
        return table(
            [
                {
                    "a": r.a,
                    "b": r.b,
                    "month": r.month,
                    "difference": r.difference,
                    "low": r.p80 and r.p80[0],
                    "high": r.p80 and r.p80[1],
                    "mcse": r.mcse,
                    "by_rho": {f"{rho:g}": d for rho, d, _, _ in r.by_rho},
                    "withheld": r.withheld,
                    "given_before": r.given_before,
                }
                for r in self.rows
            ]
        )

    def __str__(self):
        """One line per pair: difference with its range and its values over rho, or why it is withheld."""
        lines = [f"Difference in the chance to be progression-free, points, against {self.reference} (not randomised):"]
        for r in self.rows:
            if r.withheld:
                lines.append(f"  {r.b} at {r.month} months: withheld ({r.withheld})")
                continue
            rho = ", ".join(f"rho {x:g}: {100 * d:+.0f}" for x, d, _, _ in r.by_rho) or "treatments the patient has had"
            rho += f" (Monte Carlo error up to {100 * max(r.by_rho_mcse):.1f})" if r.by_rho_mcse else ""
            ends = f"{100 * r.p80[0]:+.0f} to {100 * r.p80[1]:+.0f}"
            known = (
                f"  {r.b} at {r.month} months: {100 * r.difference:+.0f} ({ends}), Monte Carlo error {100 * r.mcse:.1f}"
            )
            lines.append("; ".join(part for part in (known, rho, r.given_before) if part))
        return "\n".join(lines)

    def __repr__(self):
        return f"<TreatmentComparison against {self.reference}: {len(self.rows)} rows; not randomised>"


def compare_treatments(prognosis, *, reference: str | None = None, months=None) -> TreatmentComparison:
    """Compare every treatment with the reference (default: current, else planned, else the first with a number)."""
    refuse_other(prognosis, "compare_treatments, prognosis", "a Prognosis: forecast(...)", "rows", "landmarks")
    if months is not None:
        refuse_other(months, "compare_treatments, months", "months in a row: (12,)", "__iter__")
    months = (12,) if months is None else tuple(months)
    shown = [row for row in prognosis.rows if row.events is not None]
    if reference is None:
        ranked = sorted(shown, key=lambda r: {"current": 0, "planned": 1}.get(r.plan.role, 2))
        reference = ranked[0].plan.name if ranked else prognosis.names[0]
    first = prognosis.row(reference)
    rows = []
    for row in prognosis.rows:
        for month in months:
            if row.plan.name != reference:
                rows.append(_pair(prognosis, first, row, month))
    return TreatmentComparison(reference, tuple(rows))


def _pair(prognosis, a, b, month) -> PairComparison:
    model = prognosis.model
    before = given_before_words(model, b.plan, prognosis.now, lambda time: time_text(model, time))
    names = dict(a=a.plan.name, b=b.plan.name, month=month, given_before=before)
    for row in (a, b):
        if row.events is None:
            why = row.refused or f"{prognosis.model.name} has no endpoint, so there are no chances to compare"
            return PairComparison(**names, withheld=f"{row.plan.label}: {why}" if row.refused else why)
    if month not in prognosis.landmarks:
        return PairComparison(**names, withheld=f"{month} months is not a landmark of this forecast")
    k = prognosis.landmarks.index(month)
    by_rho, by_rho_mcse, missing = [], [], []
    for rho in a.by_rho or {}:
        pair = a.by_rho[rho], (b.by_rho or {}).get(rho)
        if None in [p if p is None else 1 for p in pair]:
            missing.append(rho)
            continue
        log_weights = pair[0][1]
        first_s, second_s = pair[0][0][:, k], pair[1][0][:, k]
        found = _difference(first_s, second_s, np.exp(log_weights) / prognosis.islands, prognosis.draw)
        if found[1] is None:  # reweighted to this rho too few population draws are left for a range
            missing.append(rho)
            continue
        by_rho.append((_of_the_pair(prognosis.model, a.plan, b.plan, rho), *found[:3]))
        by_rho_mcse.append(island_error(second_s - first_s, log_weights, prognosis.islands))
    if missing:
        return PairComparison(**names, withheld=f"too few draws under rho {', '.join(f'{r:g}' for r in missing)}")
    if not by_rho and (why := _rests_on_rho(prognosis, a, b)):
        return PairComparison(**names, withheld=why)
    difference, low, high, confidence = _difference(
        a.events.survival[:, k], b.events.survival[:, k], prognosis.weights, prognosis.draw
    )
    horizon, w = prognosis.horizon, prognosis.weights
    ta, tb = np.minimum(a.events.event, horizon), np.minimum(b.events.event, horizon)
    tie = (ta >= horizon) & (tb >= horizon)
    # progression is coded at visits: two at the same visit are shared out evenly, never counted as past the horizon
    same = 0.5 * ((ta == tb) & ~tie)
    outcomes = ((ta > tb) + same, (tb > ta) + same, tie)
    a_later, b_later, rest = (float((w * x).sum()) for x in outcomes)
    gained, gained_low, gained_high, _ = _difference(ta, tb, w, prognosis.draw)
    if low is None:
        return PairComparison(**names, withheld="too few population draws for a range")
    return PairComparison(
        **names,
        difference=difference,
        p80=(low, high),
        by_rho=tuple(by_rho),
        pairs=(a_later, b_later, rest),
        confidence_b_higher=confidence,
        months_gained=gained,
        months_gained_p80=(gained_low, gained_high),
        mcse=_error(prognosis, b.events.survival[:, k] - a.events.survival[:, k]),
        pairs_mcse=(_error(prognosis, outcomes[0]), _error(prognosis, outcomes[1]), _error(prognosis, tie)),
        months_gained_mcse=_error(prognosis, tb - ta),
        by_rho_mcse=tuple(by_rho_mcse),
    )


def _error(prognosis, values) -> float:
    return island_error(np.asarray(values, dtype=float), prognosis.log_weights, prognosis.islands)


def _of_the_pair(model, a, b, rho: float) -> float:
    """The correlation between the responses of two rows under a common rho; of rows of several treatments rho."""
    rc, of_treatment = model.response_correlation, {p.name: p.treatment for p in model.parameters}
    if rc is None:
        return rho
    named = [[n for n in rc.parameters if of_treatment[n] in plan.treatments] for plan in (a, b)]
    if any(len(names) != 1 for names in named) or named[0] == named[1]:
        return rho
    return round(rc.of(named[0][0], named[1][0], rho), 2)


def _rests_on_rho(prognosis, a, b) -> str:
    """Why a difference without a range over rho is withheld; "" where none is needed."""
    why = "the range over rho was not computed"
    if prognosis.model.response_correlation is not None:
        return why
    had = {name for time, name in treatment_starts(prognosis.model, a.plan.record) if time < prognosis.now}
    new = [name for name in dict.fromkeys((*a.plan.treatments, *b.plan.treatments)) if name not in had]
    return f"{why}: the model declares none, and this patient has not had {', '.join(new)}" if new else ""


def _difference(first, second, weights, draw):
    """Mean difference, its 80 % range over population draws, share of draws above zero.

    Noise is taken out of the range; where the draws cannot be told from it the range holds it still, and is too wide.
    """
    spread = knowledge_spread(second - first, weights, draw)
    mean = float((weights * (second - first)).sum())
    if spread.too_few:
        return mean, None, None, None
    low, high = (float(q) for q in weighted_quantiles(spread.shrunk, spread.share, (0.1, 0.9)))
    return mean, low, high, float(spread.share[spread.shrunk > 0].sum())
