"""A marker that grows by itself and falls on a drug, every course of which is known in closed form.

ln marker grows by g + HASTE s per day s days into a pause and moves by d per day (d < 0: falls) on the drug, whose
every start lowers it at once by `jump`. A depot of doses, halved by a start of the drug, slows growth. Progression by
other signs comes only on the drug, at rate h.
"""

import numpy as np
from level_model import as_population

from bayestwin.records import ClinicalEvent, PatientRecord
from bayestwin.specification import load_model
from bayestwin.twin import start_twin

NOW, HASTE = 100.0, 2e-5

CYCLING = '''
"""A marker under a drug that is given and paused."""
import jax.numpy as jnp
from bayestwin.specification import *

def initial_state(p):
    return {"ln_marker": jnp.log(p.m0), "depot": 0.0}

def vector_field(t, y, p, u):
    on, paused = u.on("drug"), jnp.where(u.on("pause") > 0, u.since("pause"), 0.0)
    growth = p.g * (1.0 - on) + 2e-5 * paused + p.d * on
    return {"ln_marker": growth - 0.001 * y.depot, "depot": -0.05 * y.depot}

def at_treatment(y, p, u):
    return {"ln_marker": y.ln_marker - p.jump * u.on("drug"), "depot": y.depot * (1.0 - 0.5 * u.on("drug"))}

model = Model(
    name="cycling", time_unit="day", states=("ln_marker", "depot"), initial_state=initial_state,
    vector_field=vector_field, at_treatment=at_treatment, routes={"oral": "depot"}, dose_unit="mg",
    steps=Steps(first=2.0, growth=1.2, largest=7.0),
    parameters=(
        Parameter("m0", unit="ug/L", scale="log", typical=LogNormal(median=20.0, sd_log=0.1),
                  between=HalfNormal(sd=0.2)),
        Parameter("g", unit="1/day", scale="log", typical=LogNormal(median=0.01, sd_log=0.1),
                  between=HalfNormal(sd=0.2)),
        Parameter("d", unit="1/day", scale="identity", typical=Normal(mean=-0.015, sd=0.01),
                  between=HalfNormal(sd=0.01)),
        Parameter("jump", unit="", scale="log", typical=LogNormal(median=0.1, sd_log=0.1)),
        Parameter("h", unit="1/day", scale="log", typical=LogNormal(median=0.001, sd_log=0.1)),
    ),
    drift=(Drift("g", every=90.0, steps=8, sd=HalfNormal(sd=0.1)),),
    outputs={"marker": lambda t, y, p, u: jnp.exp(y.ln_marker)},
    hazards={"other": lambda t, y, p, u: p.h * u.on("drug")},
    observations=(Observation("marker", unit="ug/L", error=LogNormalError(sd=HalfNormal(sd=0.2)),
                              plausible=(0.01, 1000.0), lower_limit=0.5, label="marker"),),
    treatments=(
        Treatment("drug", label="the drug", evidence="one trial"),
        Treatment("pause", label="a pause", evidence="one trial",
                  eligibility=(Eligibility("age_years", minimum=18),)),
        Treatment("cells", label="cells", starts_with="infusion", wait=30.0),
        Treatment("tablets", label="tablets", starts_with="dose",
                  regimen=Regimen.repeated("10 mg", route="oral", every="7 day", times=4)),
    ),
    endpoints=(Progression(
        rules=(SerologicalRule("marker", relative=0.25, absolute=2.0, counts_on=("drug",)),),
        visit_every=28.0, progression_hazards=("other",)),),
)
'''


def write_cycling_model(folder, text=CYCLING):
    """The model, from a folder that is made for it."""
    folder.mkdir()
    (folder / "model.py").write_text(text, encoding="utf-8")
    return load_model(folder)


def population(model, *, on_drug=-0.015, error=1e-9, drift=1e-9, draws=40, more=None):
    """Draws around known values; `on_drug` is d, `error` the SD of ln marker, `more` draws of further parameters."""
    z = np.random.default_rng(0).standard_normal((draws, 3))
    return as_population(
        model,
        {
            "m0_pop": 20.0 * np.exp(0.1 * z[:, 0]),
            "g_pop": 0.01 * np.exp(0.1 * z[:, 1]),
            "d_pop": on_drug + 0.001 * z[:, 2],
            "jump_pop": np.full(draws, 0.1),
            "h_pop": np.full(draws, 0.001),
            "omega_m0": np.full(draws, 0.1),
            "omega_g": np.full(draws, 0.2),
            "omega_d": np.full(draws, 0.002),
            "drift_sd_g": np.full(draws, drift),
            "sigma_log_marker": np.full(draws, error),
            **(more or {}),
        },
    )


def started(*events, key="C-1", now=NOW, **rows):
    """A record with (time, treatment) started, seen alive at `now`; without labs its twin is the prior."""
    lines = [ClinicalEvent("line_of_therapy", float(t), float(t), name) for t, name in events]
    return PatientRecord(key, events=(*lines, ClinicalEvent("last_known_alive", now, now)), **rows)


def twin_of(model, record=None, **how):
    """A twin of 160 particles, on the drug since day 0 unless another record is given."""
    record = started((0.0, "drug")) if record is None else record
    size = {"particles": 160, "islands": 4, "population_draws": 40}
    return start_twin(population(model, **how), record, random_seed=1, **size)


def natural(twin, draws):
    """(m0, g, d) of every draw, (P,) each."""
    m0, g, d = np.asarray(draws.psi)[:, :3].T
    return np.exp(m0), np.exp(g), d


def grown(g, days):
    """ln of the growth in a pause of so many days."""
    return g * days + HASTE * days**2 / 2
