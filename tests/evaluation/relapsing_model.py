"""A marker that falls under a drug and comes back, with hazards of the patient's own: small, exact, cheap to follow."""

import numpy as np
from level_model import as_population

from bayestwin.specification import load_model

RELAPSING = '''
"""Two clones in logs, one falls and one grows; the marker is their sum; two constant hazards of the patient's own."""
import jax.numpy as jnp
from bayestwin.specification import *

def initial_state(p):
    return {"ln_falls": jnp.log1p(-p.f), "ln_grows": jnp.log(p.f)}

def vector_field(t, y, p, u):
    return {"ln_falls": -p.k, "ln_grows": p.g}

def marker(t, y, p, u):
    return p.level * jnp.exp(jnp.clip(jnp.logaddexp(y.ln_falls, y.ln_grows), -20.0, 5.0))

model = Model(
    name="relapsing", time_unit="day", states=("ln_falls", "ln_grows"), initial_state=initial_state,
    vector_field=vector_field, steps=Steps(first=1000.0, growth=1.0, largest=1000.0),
    parameters=(
        Parameter("level", unit="g/L", scale="log", typical=LogNormal(median=30.0, sd_log=0.1),
                  between=HalfNormal(sd=0.4)),
        Parameter("k", unit="1/day", scale="log", typical=LogNormal(median=0.03, sd_log=0.2),
                  between=HalfNormal(sd=0.4)),
        Parameter("f", unit="", scale="logit", typical=LogitNormal(median=0.1, sd_logit=0.2),
                  between=HalfNormal(sd=1.0)),
        Parameter("g", unit="1/day", scale="log", typical=LogNormal(median=0.005, sd_log=0.2),
                  between=HalfNormal(sd=0.5)),
        Parameter("rate", unit="1/day", scale="log", typical=LogNormal(median=0.0004, sd_log=0.2),
                  between=HalfNormal(sd=0.7)),
    ),
    outputs={"m_protein": marker},
    hazards={"other": lambda t, y, p, u: 0.5 * p.rate, "death": lambda t, y, p, u: p.rate},
    observations=(Observation("m_protein", unit="g/L", error=Combined(sd=HalfNormal(sd=0.5), cv=HalfNormal(sd=0.1)),
                              plausible=(-100.0, 10000.0), positive=False, lower_limit=0.5),),
    treatments=(Treatment("drug", label="a drug"),),
    endpoints=(Progression(rules=(SerologicalRule("m_protein", relative=0.25, absolute=5.0),), visit_every=28.0,
                           progression_hazards=("other",), death_hazard="death", landmarks_months=(6, 12),
                           horizon_months=12),),
)
'''
TYPICAL = {"level_pop": 30.0, "k_pop": 0.03, "f_pop": 0.1, "g_pop": 0.005, "rate_pop": 0.0004}
SPREAD = {"omega_level": 0.4, "omega_k": 0.4, "omega_f": 1.0, "omega_g": 0.5, "omega_rate": 0.7}
ERRORS = {"sigma_add_m_protein": 0.5, "sigma_prop_m_protein": 0.08}


def relapsing_population(folder, *, draws: int = 50, sd: float = 0.05):
    """Population draws close to known values."""
    folder.mkdir()
    (folder / "model.py").write_text(RELAPSING, encoding="utf-8")
    rng = np.random.default_rng(1)
    known = TYPICAL | SPREAD | ERRORS
    return as_population(load_model(folder), {k: v * np.exp(sd * rng.standard_normal(draws)) for k, v in known.items()})
