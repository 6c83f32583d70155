"""Response of myeloma by the IMWG criteria of 2016, for one record or for thousands of simulated courses at once.

Depth of response against the baseline; each part that is measurable at baseline must be reached:

    part             MR                  PR                          VGPR
    serum M-protein  falls >= 25 %       >= 50 %                     >= 90 %, or not on electrophoresis
    urine M-protein  falls >= 50 %       >= 90 %, or < 200 mg/24 h   < 100 mg/24 h, or not on electrophoresis
    light chains     -                   dFLC falls >= 50 %          dFLC falls > 90 %
    plasma cells     -                   fall >= 50 % from >= 30 %   -
    plasmacytoma     SPD falls >= 50 %   SPD falls >= 50 %           SPD falls >= 50 %

    CR   immunofixation of serum and urine negative, plasma cells < 5 %, no plasmacytoma; if light chains are what
         counts, a normal ratio too
    sCR  CR, normal ratio of free light chains, no clonal plasma cells

Light chains count where neither serum nor urine is measurable, plasma cells where light chains are not either, a
plasmacytoma alone where nothing else is. Every category needs two consecutive assessments before progression and before
a new therapy; marrow and imaging are not repeated. Sources, marks and what is left out: docs/endpoints.md.
"""

from typing import NamedTuple

import numpy as np

from bayestwin.prognosis.rises import DUST

from .progression import Progressed, progression, relapse_from_complete
from .visits import Criteria, Measurable, Visits, carried, first_true, measurable

NAMES = {-1: "NE", 0: "SD", 1: "MR", 2: "PR", 3: "VGPR", 4: "CR", 5: "sCR"}
NOT_EVALUABLE, SD, MR, PR, VGPR, CR, SCR = NAMES


class Depth(NamedTuple):
    """Depth at each assessment (keys of NAMES), (..., V).

    full : by all that is known; laboratory : without marrow and imaging, which no confirmation repeats
    unrepeated : of a disease followed by marrow or imaging alone, what needs no second assessment
    """

    full: np.ndarray
    laboratory: np.ndarray
    unrepeated: np.ndarray


class Coded(NamedTuple):
    """The whole coding. Indices of assessments, (...,), are -1 where there is none.

    depth, confirmed (..., V) : depth at each assessment, and how much of it two consecutive assessments reach
    best : deepest confirmed response before progression, -1 none; best_at ; response_at (PR or better), complete_at
    relapse_at : relapse from complete response, for disease-free survival only
    """

    depth: np.ndarray
    confirmed: np.ndarray
    progressed: Progressed
    best: np.ndarray
    best_at: np.ndarray
    response_at: np.ndarray
    complete_at: np.ndarray
    relapse_at: np.ndarray


def code(v: Visits, criteria: Criteria = Criteria(), by: Measurable | None = None) -> Coded:
    """Response at each assessment, best confirmed response, progression, relapse from complete response.

    by : what the patient is followed by; default: what is measurable at baseline
    """
    by = measurable(v, criteria) if by is None else by
    depth, worse = depths(v, criteria, by), progression(v, by)
    before = (worse.at[..., None] < 0) | (np.arange(v.serum.shape[-1]) < worse.at[..., None])
    usable = before & ~worse.met
    full, laboratory, unrepeated = (np.where(usable, d, NOT_EVALUABLE) for d in depth)
    beside = neighbours(laboratory, (depth.laboratory >= SD) | worse.met)
    confirmed = np.minimum(full, np.maximum(beside, unrepeated))
    best = confirmed.max(axis=-1)
    complete_at = first_true(confirmed >= CR)
    return Coded(
        depth.full,
        confirmed,
        worse,
        best,
        np.where(best < SD, -1, first_true(confirmed == best[..., None])),
        first_true(confirmed >= PR),
        complete_at,
        relapse_from_complete(v, complete_at),
    )


def depths(v: Visits, criteria: Criteria, by: Measurable) -> Depth:
    """Depth of response at each assessment; the baseline itself is not evaluable."""
    marrow, spd = carried(v.marrow), carried(v.spd)
    below = followed(v, by, marrow, spd)
    complete = (v.ife_serum == 0) & (v.ife_urine == 0) & (~by.chains | (v.normal_ratio == 1))
    stringent = complete & (v.normal_ratio == 1)
    laboratory = np.where(stringent, SCR, np.where(complete, CR, below))
    had_lesion = v.spd[..., :1] > 0
    gone = np.where(had_lesion | (spd > 0), spd == 0, True)
    below = np.where(had_lesion, with_plasmacytoma(below, spd, v.spd[..., :1], criteria), below)
    whole = complete & (marrow < 5.0) & gone
    full = np.where(whole & stringent & (carried(v.clonal) == 0), SCR, np.where(whole, CR, below))
    unrepeated = np.where(by.marrow | by.lesion, below, NOT_EVALUABLE)
    return Depth(*(_without_baseline(d) for d in (full, laboratory, unrepeated)))


def followed(v: Visits, by: Measurable, marrow, spd) -> np.ndarray:
    """Depth up to VGPR by what the patient is followed by, NOT_EVALUABLE where a part of it was not measured."""
    hidden = (v.serum_seen == 0) | ((v.ife_serum == 0) & np.isnan(v.serum))
    serum = np.where(hidden, VGPR, _fall(v.serum, (MR, 0.75), (PR, 0.5), (VGPR, 0.1)))
    dry = (v.urine_seen == 0) | ((v.ife_urine == 0) & np.isnan(v.urine))
    urine = np.maximum(_fall(v.urine, (MR, 0.5), (PR, 0.1)), np.where(v.urine < 200.0, PR, SD))
    urine = np.where(dry | (v.urine < 100.0), VGPR, urine)
    # where urine is not measurable at baseline it need not be collected again; what was collected counts
    with_urine = by.urine | ~np.isnan(v.urine) | dry
    level = np.minimum(np.where(by.serum, serum, VGPR), np.where(with_urine, urine, VGPR))
    known = (by.serum | by.urine) & (~by.serum | hidden | ~np.isnan(v.serum)) & (~by.urine | dry | ~np.isnan(v.urine))
    chains = np.where(v.dflc < 0.1 * v.dflc[..., :1] - DUST, VGPR, _fall(v.dflc, (PR, 0.5)))
    cells = np.where(at_most(marrow, 0.5, v.marrow[..., :1]), PR, SD)
    lesion = np.where(at_most(spd, 0.5, v.spd[..., :1]), PR, SD)
    for group, other, seen in ((by.chains, chains, v.dflc), (by.marrow, cells, marrow), (by.lesion, lesion, spd)):
        level, known = np.where(group, other, level), np.where(group, ~np.isnan(seen), known)
    return np.where(known, level, NOT_EVALUABLE)


def with_plasmacytoma(depth, spd, baseline, criteria: Criteria) -> np.ndarray:
    """What of a depth a plasmacytoma of the baseline allows; not evaluable where it was not looked for again."""
    mild = at_most(spd, 1.0 - criteria.mr_plasmacytoma, baseline)
    allowed = np.where(at_most(spd, 0.5, baseline), VGPR, np.where(mild, MR, SD))
    return np.where(np.isnan(spd), np.where(depth > SD, NOT_EVALUABLE, depth), np.minimum(depth, allowed))


def neighbours(depth, evaluable) -> np.ndarray:
    """The deeper of the depths at the evaluable assessments just before and just after each one."""
    found = np.full(depth.shape, NOT_EVALUABLE)
    for step in (1, -1):
        last = np.full(depth.shape[:-1], NOT_EVALUABLE)
        for i in range(depth.shape[-1])[::step]:
            found[..., i] = np.maximum(found[..., i], last)
            last = np.where(evaluable[..., i], depth[..., i], last)
    return found


def at_most(value, share, baseline) -> np.ndarray:
    """True where `value` is down to that share of the baseline."""
    return value <= share * baseline + DUST * np.maximum(1.0, np.abs(baseline))


def _fall(values, *steps) -> np.ndarray:
    """The deepest of the steps (depth, share of the baseline left) that each value reaches, SD where none."""
    level = np.full(values.shape, SD)
    for depth, share in steps:
        level = np.where(at_most(values, share, values[..., :1]), depth, level)
    return level


def _without_baseline(depth) -> np.ndarray:
    depth = np.array(depth, dtype=int)
    depth[..., 0] = NOT_EVALUABLE
    return depth
