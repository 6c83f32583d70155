"""A small model with closed forms, and populations made without NUTS; shared by the tests of three rooms."""

import numpy as np
import xarray as xr

from bayestwin.population import PopulationPosterior

LEVEL = '''
"""A level that stays where it is."""
from bayestwin.specification import *

def initial_state(p):
    return {"level": p.level}

def vector_field(t, y, p, u):
    return {"level": 0.0 * y.level}

def at_treatment(y, p, u):
    return {"level": y.level - p.effect}

model = Model(
    name="level", time_unit="day", states=("level",), initial_state=initial_state, vector_field=vector_field,
    at_treatment=at_treatment, steps=Steps(first=1000.0, growth=1.0, largest=1000.0),
    parameters=(
        Parameter("level", unit="g/L", scale="identity", typical=Normal(mean=20.0, sd=1.0), between=HalfNormal(sd=2.0)),
        Parameter("effect", unit="g/L", scale="identity", typical=Normal(mean=8.0, sd=1.0), between=Fixed(value=1.0),
                  treatment="drug"),
        Parameter("no_effect", unit="g/L", scale="identity", typical=Normal(mean=0.0, sd=0.1)),
        Parameter("p_none", unit="", scale="logit", typical=LogitNormal(median=0.3, sd_logit=0.1)),
    ),
    response_classes=(ResponseClass("drug", parameter="effect", replaced_by="no_effect", probability="p_none"),),
    outputs={"m_protein": lambda t, y, p, u: y.level},
    observations=(Observation("m_protein", unit="g/L", error=Additive(sd=Fixed(value=1.5)), plausible=(-100.0, 100.0),
                              positive=False),),
    treatments=(Treatment("drug", label="a drug"),),
)
'''


def as_population(model, draws, *, rho=0.0, chains=2):
    """A PopulationPosterior from natural-scale draws, name -> (M, ...); diagnostics are not asked of it."""
    data = {}
    for name, values in draws.items():
        dims = ("chain", "draw") + (("parameter_a", "parameter_b") if name == "correlation_cholesky" else ())
        data[name] = (dims, values.reshape(chains, len(values) // chains, *values.shape[1:]))
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(data), "sample_stats": xr.Dataset()})
    tree.attrs.update(kind="population", model=model.name, model_hash=model.hash, rho=rho, fitted_patients="[]")
    return PopulationPosterior(model, tree)


def level_draws(n=100, seed=1):
    """Draws around a level of 20 with a between-patient SD of about 2."""
    rng = np.random.default_rng(seed)
    return {
        "level_pop": 20.0 + rng.standard_normal(n),
        "effect_pop": 8.0 + 0.5 * rng.standard_normal(n),
        "no_effect_pop": 0.1 * rng.standard_normal(n),
        "p_none_pop": 0.3 + 0.05 * rng.uniform(-1, 1, n),
        "omega_level": 2.0 * np.exp(0.2 * rng.standard_normal(n)),
    }


def write_level_model(folder):
    """The folder of the level model."""
    folder.mkdir()
    (folder / "model.py").write_text(LEVEL, encoding="utf-8")
    return folder


# Without the drug: patients who take none have the same posterior, and programs of half the size.
UNTREATED = (
    LEVEL.split("def at_treatment")[0]
    + LEVEL[LEVEL.index("model = Model") : LEVEL.index('        Parameter("effect"')].replace(
        "at_treatment=at_treatment, ", ""
    )
    + "    ),\n"
    + LEVEL[LEVEL.index("    outputs=") :].replace('    treatments=(Treatment("drug", label="a drug"),),\n', "")
)


def write_untreated_level_model(folder):
    """The folder of the level model without its drug."""
    folder.mkdir()
    (folder / "model.py").write_text(UNTREATED, encoding="utf-8")
    return folder


OCCASIONAL = '''
"""A level that differs from one occasion of a patient to the next."""
from bayestwin.specification import *

def initial_state(p):
    return {"one": 1.0}

def vector_field(t, y, p, u):
    return {"one": 0.0 * y.one}

model = Model(
    name="occasional_level", time_unit="day", states=("one",), initial_state=initial_state, vector_field=vector_field,
    steps=Steps(first=1000.0, growth=1.0, largest=1000.0),
    parameters=(
        Parameter("level", unit="g/L", scale="identity", typical=Normal(mean=20.0, sd=1.0), between=HalfNormal(sd=2.0)),
    ),
    occasions=Occasions(sd={"level": HalfNormal(sd=2.0)}, most=3, future="next"),
    outputs={"m_protein": lambda t, y, p, u: p.level * y.one},
    observations=(Observation("m_protein", unit="g/L", error=Additive(sd=Fixed(value=1.5)), plausible=(-100.0, 100.0),
                              positive=False),),
)
'''


def write_occasional_model(folder):
    """The folder of the model with occasions."""
    folder.mkdir()
    (folder / "model.py").write_text(OCCASIONAL, encoding="utf-8")
    return folder
