"""Which way progression-free survival ends: the chance of each way to be the first of all.

With hazards constant between grid points and a serological visit at s (one of the grid points, or never), the chance
that way c has come by h, as the first, is the sum over intervals before min(s, h) of

    exp(-L(t)) (dH_c / dL) (1 - exp(-dL)),      L the sum of all hazard integrals

and that of the serological way exp(-L(s)) if s <= h. With the chance that nothing has come they sum to one.
"""

import numpy as np

from bayestwin.errors import ModelError
from bayestwin.prognosis.life_table import not_below


def ways_out(model, endpoint, hazards, background=None) -> tuple[np.ndarray, np.ndarray]:
    """Hazard integrals (N, V, ways) of every progression without a rise, and of every death, from (N, V, H).

    background : (V,) integral of the general population; what all deaths together lack of it goes to the first
    """
    names = list(model.hazard_names)
    other = hazards[:, :, [names.index(h) for h in endpoint.progression_hazards]]
    death = hazards[:, :, [names.index(h) for h in endpoint.death_hazards]]
    if background is not None and death.shape[-1]:
        total = death.sum(axis=-1)
        death = np.concatenate([death[..., :1] + (not_below(total, background) - total)[..., None], death[..., 1:]], -1)
    return other, death


def check_hazards(model, endpoint) -> None:
    """ModelError where a further way to die is no hazard of the model, or there is no first one."""
    for name in endpoint.other_death_hazards:
        if name not in model.hazard_names or not endpoint.death_hazard:
            raise ModelError(
                "a further way to die needs a hazard of its name, beside a death_hazard",
                subject=f"model {model.name}",
                place="other_death_hazards",
                value=name,
                allowed=f"one of {', '.join(model.hazard_names) or '(none)'}",
            )


def value_at(hazard, times, t) -> np.ndarray:
    """Hazard integral (P, V) or (P, V, ways) at one time, linear between grid points, zero at the data cut."""
    grid = np.concatenate([[0.0], times])
    h = np.concatenate([np.zeros_like(hazard[:, :1]), hazard], axis=1)
    k = int(np.clip(np.searchsorted(grid, t), 1, len(grid) - 1))
    share = np.clip((t - grid[k - 1]) / (grid[k] - grid[k - 1]), 0.0, 1.0)
    return h[:, k - 1] + share * (h[:, k] - h[:, k - 1])


def values_at(hazard, times, marks) -> np.ndarray:
    """`value_at` at several times at once, (P, L) from (P, V)."""
    marks, grid = np.asarray(marks, dtype=float), np.concatenate([[0.0], times])
    h = np.concatenate([np.zeros_like(hazard[:, :1]), hazard], axis=1)
    k = np.clip(np.searchsorted(grid, marks), 1, len(grid) - 1)
    share = np.clip((marks - grid[k - 1]) / (grid[k] - grid[k - 1]), 0.0, 1.0)
    return h[:, k - 1] + share * (h[:, k] - h[:, k - 1])


def first_events(hazards, times, serological, landmarks) -> np.ndarray:
    """Chance of each way to have come first by each landmark, (R, P, L, 1 + ways), the serological one first.

    hazards : (P, V, ways) integrals; serological : (R, P) visits, inf where none
    """
    grid = np.concatenate([[0.0], times])
    h = np.concatenate([np.zeros_like(hazards[:, :1]), hazards], axis=1)
    step = np.diff(h, axis=1)
    total = step.sum(axis=-1)
    free = np.exp(-h.sum(axis=-1))  # of everything but a serological visit
    share = np.divide(step, total[..., None], out=np.zeros_like(step), where=total[..., None] > 0)
    come = np.concatenate(
        [np.zeros_like(h[:, :1]), np.cumsum(free[:, :-1, None] * share * -np.expm1(-total)[..., None], axis=1)], axis=1
    )
    rows = np.arange(len(h))
    found = np.zeros((*serological.shape, len(landmarks), 1 + hazards.shape[-1]))
    for m, mark in enumerate(landmarks):
        until = np.minimum(np.minimum(serological, mark), grid[-1])
        k = np.clip(np.searchsorted(grid, until, side="right") - 1, 0, len(grid) - 2)
        part = (until - grid[k]) / (grid[k + 1] - grid[k])
        rest = free[rows, k] * -np.expm1(-part * total[rows, k])
        found[..., m, 1:] = come[rows, k] + share[rows, k] * rest[..., None]
        found[..., m, 0] = np.where(serological <= mark, free[rows, k] * np.exp(-part * total[rows, k]), 0.0)
    return found
