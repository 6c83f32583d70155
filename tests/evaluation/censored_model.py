"""A level that often lies under the limit of its assay, beside a hazard of progression of the patient's own.

Cheap to follow: shared by the tests and by tests/validation/updates.py.
"""

import numpy as np
from level_model import as_population

from bayestwin.specification import load_model

CENSORED = '''
"""A level that stays where it is, often under the limit of its assay, and a constant hazard."""
from bayestwin.specification import *

def initial_state(p):
    return {"level": p.level}

def vector_field(t, y, p, u):
    return {"level": 0.0 * y.level}

model = Model(
    name="censored", time_unit="day", states=("level",), initial_state=initial_state, vector_field=vector_field,
    steps=Steps(first=1000.0, growth=1.0, largest=1000.0),
    parameters=(
        Parameter("level", unit="g/L", scale="identity", typical=Normal(mean=20.0, sd=1.0), between=HalfNormal(sd=2.0)),
        Parameter("rate", unit="1/day", scale="log", typical=LogNormal(median=0.001, sd_log=0.5),
                  between=HalfNormal(sd=0.5)),
    ),
    outputs={"m_protein": lambda t, y, p, u: y.level},
    hazards={"other": lambda t, y, p, u: p.rate},
    observations=(Observation("m_protein", unit="g/L", error=Additive(sd=HalfNormal(sd=1.5)), plausible=(-100.0, 100.0),
                              positive=False, lower_limit=20.0),),
    treatments=(Treatment("drug", label="a drug"),),
    endpoints=(Progression(rules=(SerologicalRule("m_protein", relative=0.25, absolute=5.0),), visit_every=56.0,
                           progression_hazards=("other",), landmarks_months=(6, 12), horizon_months=12),),
)
'''


def censored_population(folder, *, draws: int = 100, sigma: float = 2.0):
    """Population draws of the censored model around a residual SD of `sigma`."""
    folder.mkdir()
    (folder / "model.py").write_text(CENSORED, encoding="utf-8")
    rng = np.random.default_rng(1)
    made = {
        "level_pop": 20.0 + rng.standard_normal(draws),
        "omega_level": 2.0 * np.exp(0.2 * rng.standard_normal(draws)),
        "rate_pop": 0.001 * np.exp(0.5 * rng.standard_normal(draws)),
        "omega_rate": 0.3 * np.exp(0.2 * rng.standard_normal(draws)),
        "sigma_add_m_protein": sigma * np.exp(0.3 * rng.standard_normal(draws)),
    }
    return as_population(load_model(folder), made)
