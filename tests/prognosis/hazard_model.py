"""A marker that stands still and two constant hazards: survival is known in closed form.

Under `late_cells`, which one in five of those who set out on them never get in 60 days, death is a fifth as frequent;
under `rescue`, which these get instead, three times.
"""

import numpy as np
from level_model import as_population

from bayestwin.specification import load_model

HAZARDS = '''
"""A marker that stands still, and two constant hazards."""
from bayestwin.specification import *

def initial_state(p):
    return {"level": p.level}

def vector_field(t, y, p, u):
    return {"level": 0.0 * y.level}

model = Model(
    name="hazards", time_unit="day", states=("level",), initial_state=initial_state, vector_field=vector_field,
    steps=Steps(first=1000.0, growth=1.0, largest=1000.0),
    parameters=(
        Parameter("level", unit="g/L", scale="identity", typical=Normal(mean=20.0, sd=1.0), between=HalfNormal(sd=2.0)),
        Parameter("h_other", unit="1/day", scale="log", typical=LogNormal(median=0.001, sd_log=0.3)),
        Parameter("h_death", unit="1/day", scale="log", typical=LogNormal(median=0.0005, sd_log=0.3)),
    ),
    outputs={"m_protein": lambda t, y, p, u: y.level},
    hazards={"other": lambda t, y, p, u: p.h_other,
             "death": lambda t, y, p, u: p.h_death * (1.0 - 0.8 * u.on("late_cells") + 2.0 * u.on("rescue"))},
    observations=(Observation("m_protein", unit="g/L", error=Additive(sd=Fixed(value=0.3)), plausible=(-100.0, 100.0),
                              positive=False),),
    treatments=(Treatment("drug", label="a drug"),
                Treatment("cells", label="cells", starts_with="infusion", wait=60.0, cell_therapy=True),
                Treatment("rescue", label="rescue", by_request=True),
                Treatment("late_cells", label="late cells", starts_with="infusion", wait=60.0, cell_therapy=True,
                          to_leukapheresis=30.0, delays=(Delay("deprivation", reference=3.0, per_unit=5.0),),
                          never_starts=lambda p: 200.0 * p.h_other / (1000.0 * p.h_other), instead="rescue",
                          by_request=True)),
    covariate_units={"deprivation": ""},
    endpoints=(Progression(rules=(SerologicalRule("m_protein", relative=0.25, absolute=5.0),), visit_every=28.0,
                           progression_hazards=("other",), death_hazard="death"),),
)
'''


def hazard_population(folder):
    """100 draws: `other` at 0.001 and death at 0.0005 a day, each with an SD of 0.3 on the log scale."""
    folder.mkdir()
    (folder / "model.py").write_text(HAZARDS, encoding="utf-8")
    model, rng, n = load_model(folder), np.random.default_rng(1), 100
    draws = {
        "level_pop": 20.0 + rng.standard_normal(n),
        "omega_level": 2.0 * np.exp(0.1 * rng.standard_normal(n)),
        "h_other_pop": 0.001 * np.exp(0.3 * rng.standard_normal(n)),
        "h_death_pop": 0.0005 * np.exp(0.3 * rng.standard_normal(n)),
    }
    return as_population(model, draws)
