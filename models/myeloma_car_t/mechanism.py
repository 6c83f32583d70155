"""States of the myeloma model and how they move: burden, M-protein, normal plasma cells, what a response is read from.

The equations stand in model.py; t in days, y states, p parameters, u what is being done.
"""

import jax
import jax.numpy as jnp

from .treatments import ROWS

CELLS = ("ide_cel", "cilta_cel")
DRUGS = tuple(name for name in ROWS if name not in CELLS)
STATES = ("ln_sensitive", "ln_resistant", "m_protein", "normal_cells", "ln_reference", "nadir", "line")
NUMBERS = {name: float(k) for k, name in enumerate(ROWS, 1)}  # what `line` says: which treatment split the burden last
GUARD = 1000.0  # Bmax: keeps untreated growth finite, 0.1 % slower at B = 1
HIGHEST = 7.0  # ln B above which nothing rises any more
FAINT = 0.05  # g/L, below every limit of immunofixation: less M-protein than this is no deeper response
FADES = 5.0  # days, scale of the logistic by which a regimen of fixed length comes to its end [assumed]
NADIR_RATE = 0.15  # 1/day, how fast the running nadir follows a fall
# The nadir turns with a kink, which a step of a fortnight blurs by up to 0.15 in ln. Response is read with more error
# than that, and nothing else uses it: kept in this unit, it does not count as a solve that failed.
NADIR_UNIT = 3.0


def initial_state(p):
    """Half of the burden in each part, M-protein at its baseline (g/L), normal plasma cells displaced by the burden."""
    half = jnp.log(0.5)  # before a treatment starts both parts grow alike
    marker = ln_marker(p.P0, 0.0, p)
    return {
        "ln_sensitive": half,
        "ln_resistant": half,
        "m_protein": p.P0,
        "normal_cells": left_by(0.0, p),
        "ln_reference": marker,
        "nadir": marker / NADIR_UNIT,
        "line": 0.0 * half,
    }


def log_burden(y):
    """ln of the whole burden, relative to time zero."""
    return jnp.logaddexp(y.ln_sensitive, y.ln_resistant)


def log_transgene(t, cmax, fb, beta, p):
    """ln copies/ug at t days after infusion; -30 before."""
    cmax, beta = (
        cmax * jnp.exp(p.fitness_on_expansion * p.fitness + p.lymphodepletion),
        beta * jnp.exp(p.fitness_on_persistence * p.fitness),
    )
    after = t - p.Tmax
    rho = jnp.log(p.fold) / jnp.maximum(p.Tmax - p.Tlag, 0.5)
    growth = -rho * (p.Tmax - jnp.maximum(t, p.Tlag))
    decline = jnp.log(
        (1.0 - fb) * jnp.exp(-p.alpha * jnp.maximum(after, -100.0)) + fb * jnp.exp(-beta * jnp.maximum(after, -100.0))
    )
    shape = -jnp.logaddexp(-20.0 * growth, -20.0 * decline) / 20.0
    return jnp.where(t >= 0.0, jnp.log(cmax) + shape, -30.0)


def weighed(u, **weight):
    """Sum over treatments of weight times 1 where it is the current one: one product, whatever their number."""
    return jnp.stack([u.on(name) for name in weight]) @ jnp.stack(
        [jnp.asarray(w, dtype=float) for w in weight.values()]
    )


def given(u, what: str):
    """A number of the row of the current treatment, summed over drugs; 0 where none is given."""
    return weighed(u, **{name: getattr(ROWS[name], what) for name in DRUGS})


def paused(y, u, name):
    """1 under observation after this treatment, before another was begun; else 0."""
    return untreated(u) * jnp.where(y.line == NUMBERS[name], 1.0, 0.0)


def untreated(u):
    """1 under observation, 0 while something is given."""
    return 1.0 - weighed(u, **dict.fromkeys(ROWS, 1.0))


def lasting(u, name):
    """1 while a drug is given, 0 once a regimen of fixed length is over."""
    lasts = ROWS[name].lasts
    return 1.0 if lasts is None else jax.nn.sigmoid((lasts - u.since(name)) / FADES)


def saturation(p, u, name):
    """Share of the largest effect of a product's cells; 0 before its infusion, whatever was begun after it."""
    cmax, fb, beta, ec50 = (getattr(p, f"{x}_{name}") for x in ("Cmax", "fB", "beta", "EC50"))
    ln_c = log_transgene(u.since(name), cmax, fb, beta, p)
    return jnp.where(u.since(name) >= 0.0, 1.0 / (1.0 + ec50 * jnp.exp(p.fitness_on_EC50 * p.fitness - ln_c)), 0.0)


def left_by(ln_b, p):
    """Normal plasma cells, relative to health, that a burden leaves in the long run."""
    return 1.0 / (1.0 + jnp.exp(jnp.minimum(ln_b, HIGHEST)) / p.paresis_burden)


def flc(ln_b, p):
    """Involved free light chains, mg/L."""
    return p.FLC_floor + p.FLC0 * jnp.exp(p.gF * jnp.minimum(ln_b, HIGHEST))


def ln_marker(protein, ln_b, p):
    """ln of what response is read from: serum M-protein (g/L), in light-chain disease involved light chains (mg/L)."""
    return jnp.where(p.light_chain > 0.5, jnp.log(flc(ln_b, p)), jnp.log(jnp.maximum(protein, FAINT)))


def vector_field(t, y, p, u):
    """Growth and kill of both parts (1/day, in logs), turnover of M-protein (g/L/day) and of normal plasma cells."""
    ln_b, saturated = log_burden(y), {name: saturation(p, u, name) for name in CELLS}
    growth = p.g * (1.0 - jnp.exp(jnp.minimum(ln_b, HIGHEST)) / GUARD)
    drugs = weighed(u, **{name: getattr(p, f"kS_{name}") * lasting(u, name) for name in DRUGS})
    kill = drugs + sum(
        (u.on(name) + paused(y, u, name)) * getattr(p, f"kS_{name}") * saturated[name] for name in CELLS
    )  # cells go on where nothing else was begun after them
    harm = sum(saturated.values()) + given(u, "harm")  # BCMA is on normal plasma cells too, while there are cells
    above = jnp.maximum(NADIR_UNIT * y.nadir - ln_marker(y.m_protein, ln_b, p), 0.0)
    return {
        "ln_sensitive": growth - kill,
        "ln_resistant": growth,
        "m_protein": p.kP * (p.P0 * jnp.exp(p.gamma * jnp.minimum(ln_b, HIGHEST)) - y.m_protein),
        "normal_cells": p.normal_recovery * (left_by(ln_b, p) - y.normal_cells) - p.normal_harm * harm * y.normal_cells,
        "ln_reference": 0.0 * ln_b,
        "nadir": -NADIR_RATE * above / NADIR_UNIT,
        "line": 0.0 * ln_b,
    }


def at_treatment(y, p, u):
    """When a treatment starts the burden is split anew into a sensitive and a resistant part, and response counts anew;
    not the split where it is the one that was given last: a clone that its first course left is not forgotten. Under
    observation both go on."""
    typical = weighed(u, **{name: getattr(p, f"f_{name}") for name in ROWS}) + 0.5 * untreated(u)
    f = typical * jnp.exp(p.resistance) / (1.0 - typical + typical * jnp.exp(p.resistance))  # logit f + resistance
    number = weighed(u, **NUMBERS)
    nothing, again = number == 0.0, (number == 0.0) | (number == y.line)
    ln_b = log_burden(y)
    marker = ln_marker(y.m_protein, ln_b, p)
    return {
        "ln_sensitive": jnp.where(again, y.ln_sensitive, ln_b + jnp.log1p(-f)),
        "ln_resistant": jnp.where(again, y.ln_resistant, ln_b + jnp.log(f)),
        "m_protein": y.m_protein,
        "normal_cells": y.normal_cells,
        "ln_reference": jnp.where(nothing, y.ln_reference, marker),
        "nadir": jnp.where(nothing, y.nadir, marker / NADIR_UNIT),
        "line": jnp.where(nothing, y.line, number),
    }


def m_protein(t, y, p, u):
    """Serum M-protein, g/L."""
    return y.m_protein


def involved_flc(t, y, p, u):
    """Involved free light chains, mg/L."""
    return flc(log_burden(y), p)


def transgene(t, y, p, u):
    """CAR transgene in blood, summed over products, copies/ug."""
    return sum(
        jnp.exp(log_transgene(u.since(x), getattr(p, f"Cmax_{x}"), getattr(p, f"fB_{x}"), getattr(p, f"beta_{x}"), p))
        for x in CELLS
    )
