"""A trial whose outcomes are known in closed form: a marker that grows, or falls in those who respond, two hazards.

    d level/dt = g level untreated and in non-responders, -k level in responders (f = 0)

Progression is a rise of 25 % and 5 g/L over the nadir, seen twice; there is no assay error to speak of. A patient of
20 g/L (no spread) that grows at g crosses 25 g/L after ln(1.25) / g days, and progresses at the first visit after it.
"""

import numpy as np
from level_model import as_population

from bayestwin.specification import load_model

MODEL = '''
"""A marker that grows or falls, and two constant hazards."""
import jax.numpy as jnp
from bayestwin.specification import *

def initial_state(p):
    return {"level": p.level}

def vector_field(t, y, p, u):
    return {"level": y.level * (p.g * (1.0 - u.on("drug") * (1.0 - p.f)) - u.on("drug") * (1.0 - p.f) * 0.05)}

model = Model(
    name="trial", time_unit="day", states=("level",), initial_state=initial_state, vector_field=vector_field,
    steps=Steps(first=28.0, growth=1.0, largest=28.0),
    parameters=(
        Parameter("level", unit="g/L", scale="log", typical=Fixed(value=20.0), between=Fixed(value=1e-6)),
        Parameter("g", unit="1/day", scale="log", typical=LogNormal(median=0.004, sd_log=0.3),
                  covariates=(Category("fast", "1", shift=Fixed(value=1.0)),)),
        Parameter("f", unit="", scale="identity", typical=Fixed(value=0.0)),
        Parameter("f_non", unit="", scale="identity", typical=Fixed(value=1.0)),
        Parameter("p_non", unit="", scale="logit", typical=LogitNormal(median=0.3, sd_logit=0.5)),
        Parameter("h_other", unit="1/day", scale="log", typical=LogNormal(median=0.001, sd_log=0.3)),
        Parameter("h_death", unit="1/day", scale="log", typical=LogNormal(median=0.0005, sd_log=0.3)),
    ),
    response_classes=(ResponseClass("drug", parameter="f", replaced_by="f_non", probability="p_non"),),
    outputs={"m_protein": lambda t, y, p, u: y.level},
    hazards={"other": lambda t, y, p, u: p.h_other, "death": lambda t, y, p, u: p.h_death},
    observations=(Observation("m_protein", unit="g/L", error=Additive(sd=Fixed(value=1e-4)), plausible=(-100.0, 1e6),
                              positive=False),),
    treatments=(Treatment("drug", label="a drug"), Treatment("other_drug", label="one that does nothing")),
    endpoints=(Progression(rules=(SerologicalRule("m_protein", relative=0.25, absolute=5.0),), visit_every=28.0,
                           progression_hazards=("other",), death_hazard="death"),),
)
'''
ENDPOINTS = '''
"""Response: half of the level at the start, at two visits one after the other; complete below 1 g/L."""
import numpy as np

RESPONSE_OUTPUTS = ("m_protein",)

def response_of_arrays(labs):
    level = labs.seen["m_protein"][:, labs.begin :]
    base = level[:, :1]
    def twice(met):
        return (met[:, 1:-1] & met[:, 2:]).any(axis=1)
    return labs.screening["m_protein"] > 15.0, twice(level <= 0.5 * base), twice(level < 1.0)
'''


def trial_population(folder, *, coder: bool, draws: int = 24):
    """Draws of growth, both hazards and the chance of non-response; `coder`: with an endpoints.py."""
    folder.mkdir()
    (folder / "model.py").write_text(MODEL, encoding="utf-8")
    if coder:
        (folder / "endpoints.py").write_text(ENDPOINTS, encoding="utf-8")
    rng = np.random.default_rng(3)
    return as_population(
        load_model(folder),
        {
            "g_pop": 0.004 * np.exp(0.3 * rng.standard_normal(draws)),
            "p_non_pop": rng.uniform(0.1, 0.6, draws),
            "h_other_pop": 0.001 * np.exp(0.3 * rng.standard_normal(draws)),
            "h_death_pop": 0.0005 * np.exp(0.3 * rng.standard_normal(draws)),
        },
    )
