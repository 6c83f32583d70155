"""Progression of myeloma by the IMWG criteria of 2016, and relapse from complete response, which is none.

From the confirmed nadir (bayestwin/prognosis/rises.py) a rise of at least 25 % in any of

    serum M-protein    and >= 5 g/L; from a nadir of 50 g/L on 10 g/L suffice
    urine M-protein    and >= 200 mg/24 h
    dFLC               and > 100 mg/L, only where neither serum nor urine is measurable
    marrow             and >= 10 points of plasma cells, only where light chains are not measurable either
    circulating cells  (50 %) and >= 200 /uL, only where nothing else is measurable

or a new lesion, or plasmacytomas that grow. Markers of blood and urine need two consecutive assessments of that marker;
marrow and imaging are not repeated. Sources, marks and what is left out: docs/endpoints.md.
"""

from typing import NamedTuple

import numpy as np

from bayestwin.prognosis.rises import DUST, Rises, find_rises
from bayestwin.specification import SerologicalRule

from .visits import Measurable, Visits, first_true

SERUM = SerologicalRule("m_protein", relative=0.25, absolute=5.0, high_nadir=50.0, high_absolute=10.0)
URINE = SerologicalRule("urine_m_protein", relative=0.25, absolute=200.0)
LIGHT_CHAINS = SerologicalRule("dflc", relative=0.25, absolute=100.0, strict=True)
MARROW = SerologicalRule("marrow_plasma_cells", relative=0.25, absolute=10.0)
CIRCULATING = SerologicalRule("circulating_plasma_cells", relative=0.50, absolute=200.0)
CAUSES = (
    "serum M-protein",
    "urine M-protein",
    "free light chains",
    "marrow plasma cells",
    "circulating plasma cells",
    "extramedullary disease",
    "bone lesion",
)
OUTSIDE_BONE, IN_BONE = 1, 2  # codes of new_lesion


class Progressed(NamedTuple):
    """met (..., V) some criterion; at (...,) the assessment that is called progression, -1 none; cause in CAUSES.

    rises : of the markers, in the order of CAUSES; lesions (..., V) : see `lesions_progress`
    """

    met: np.ndarray
    at: np.ndarray
    cause: np.ndarray
    rises: tuple[Rises, ...]
    lesions: np.ndarray


def progression(v: Visits, by: Measurable) -> Progressed:
    """The first progression that the assessments establish. by : what the patient is followed by"""
    no_protein = ~(by.serum | by.urine)
    no_chains = no_protein & ~by.chains
    nothing = no_chains & ~by.marrow & ~by.lesion
    markers = (
        (SERUM, v.serum, True, 2),
        (URINE, v.urine, True, 2),
        (LIGHT_CHAINS, v.dflc, no_protein, 2),
        (MARROW, v.marrow, no_chains, 1),
        (CIRCULATING, v.circulating, nothing, 2),
    )
    rises = tuple(find_rises(np.where(on, x, np.nan), rule, confirmations=n) for rule, x, on, n in markers)
    lesions = lesions_progress(v)
    found = np.stack(
        [*(r.found for r in rises), first_true(lesions == OUTSIDE_BONE), first_true(lesions == IN_BONE)], axis=-1
    )
    found = np.where(found < 0, v.serum.shape[-1], found)
    none = found.min(axis=-1) == v.serum.shape[-1]
    cause = np.where(none, -1, np.argmin(found, axis=-1))
    met = np.any([lesions > 0, *(r.met for r in rises)], axis=0)
    return Progressed(met, np.where(none, -1, found.min(axis=-1)), cause, rises, lesions)


def lesions_progress(v: Visits) -> np.ndarray:
    """Where imaging shows progression, (..., V): 0 not, OUTSIDE_BONE or IN_BONE.

    A new lesion; more than one lesion half as large again (sum of products) as at their smallest; one lesion longer by
    half than at its shortest, of more than 1 cm in its short axis before; a plasmacytoma that had disappeared.
    """
    shape = v.spd.shape
    found = np.zeros(shape, dtype=int)
    least, shortest, short_axis = (np.full(shape[:-1], np.nan) for _ in range(3))
    for i in range(shape[-1]):
        spd, length = v.spd[..., i], v.longest[..., i]
        larger = (spd >= 1.5 * least - DUST) & (least > 0) & (v.lesions[..., i] != 1)
        again = (least == 0) & (spd > 0)
        longer = (length >= 1.5 * shortest - DUST) & (short_axis > 1.0)
        outside = larger | again | longer | (v.new_lesion[..., i] == OUTSIDE_BONE)
        in_bone = v.new_lesion[..., i] == IN_BONE
        found[..., i] = np.where(i == 0, 0, np.where(outside, OUTSIDE_BONE, np.where(in_bone, IN_BONE, 0)))
        least, shortest = np.fmin(least, spd), np.fmin(shortest, length)
        short_axis = np.where(np.isnan(v.short_axis[..., i]), short_axis, v.short_axis[..., i])
    return found


def relapse_from_complete(v: Visits, complete_at) -> np.ndarray:
    """Assessment of the relapse from a complete response that was confirmed from `complete_at` (...,) on, -1 none.

    M-protein by immunofixation or electrophoresis at two consecutive assessments, or at once plasma cells of 5 % or
    more, or a lesion. It ends disease-free survival and is not progression.
    """
    proofs = (v.ife_serum, v.ife_urine, v.serum_seen, v.urine_seen)
    back, looked = np.any([p == 1 for p in proofs], axis=0), np.any([~np.isnan(p) for p in proofs], axis=0)
    later = (complete_at[..., None] >= 0) & (np.arange(back.shape[-1]) > complete_at[..., None])
    found, began = np.full(back.shape[:-1], -1), np.full(back.shape[:-1], -1)
    for i in range(back.shape[-1]):
        here = later[..., i] & looked[..., i]
        now = here & back[..., i]
        found = np.where((found < 0) & now & (began >= 0), began, found)
        began = np.where(here, np.where(now & (began < 0), i, np.where(now, began, -1)), began)
    at_once = first_true(later & ((v.marrow >= 5.0) | (lesions_progress(v) > 0)))
    return np.where((at_once >= 0) & ((found < 0) | (at_once < found)), at_once, found)
