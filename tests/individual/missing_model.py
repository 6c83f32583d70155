"""A small model with closed forms whose covariates may be missing in every way; shared by the tests of three rooms."""

MISSING = '''
"""A level that rises at a rate: with age, in a group, scaled by weight."""
from bayestwin.specification import *

def initial_state(p):
    return {"one": 1.0}

def vector_field(t, y, p, u):
    return {"one": 0.0 * y.one}

model = Model(
    name="missing_level", time_unit="day", states=("one",), initial_state=initial_state, vector_field=vector_field,
    parameters=(
        Parameter("level", unit="g/L", scale="identity", typical=Normal(mean=20.0, sd=1.0), between=HalfNormal(sd=2.0),
                  covariates=(Slope("age_years", reference=60, slope=Normal(mean=0.0, sd=1.0)),
                              Category("group", "b", shift=Normal(mean=0.0, sd=5.0)))),
        Parameter("rate", unit="g/L/day", scale="identity", typical=Normal(mean=1.0, sd=0.2),
                  between=HalfNormal(sd=0.5),
                  covariates=(Slope("age_years", reference=50, slope=Normal(mean=0.0, sd=0.1)),
                              Category("group", "b", shift=Normal(mean=0.0, sd=1.0)),
                              Category("group", "c", shift=Normal(mean=0.0, sd=1.0)))),
        Parameter("offset", unit="g/L", scale="log", typical=LogNormal(median=2.0, sd_log=0.2),
                  covariates=(Power("weight_kg", reference=70, exponent=Normal(mean=0.75, sd=0.1)),)),
    ),
    correlation=LKJ(over=("level", "rate")),
    covariate_distributions=(
        NormalCovariate("age_years", mean=Normal(mean=60.0, sd=5.0), sd=LogNormal(median=10.0, sd_log=0.3)),
        CategoryCovariate("group", levels=("a", "b", "c"), counts=(2.0, 1.0, 1.0)),
        LogNormalCovariate("weight_kg", median=LogNormal(median=70.0, sd_log=0.1), sd_log=HalfNormal(sd=0.3)),
    ),
    outputs={"m_protein": lambda t, y, p, u: (p.level + p.rate * t + p.offset) * y.one},
    observations=(Observation("m_protein", unit="g/L", error=Additive(sd=Fixed(value=1.5)), plausible=(-1000.0, 1000.0),
                              positive=False),),
    covariate_units={"age_years": "years", "weight_kg": "kg"},
)
'''

# values of every population-level site, natural scale
SITES = {
    "level_pop": 20.0,
    "rate_pop": 1.0,
    "offset_pop": 2.0,
    "beta_level_age_years": 0.1,
    "beta_level_group_b": 4.0,
    "beta_rate_age_years": -0.02,
    "beta_rate_group_b": 0.5,
    "beta_rate_group_c": -0.5,
    "beta_offset_weight_kg": 0.75,
    "omega_level": 1.5,
    "omega_rate": 0.4,
    "mean_age_years": 62.0,
    "sd_age_years": 9.0,
    "share_group_a": 0.5,
    "share_group_b": 0.6,
    "median_weight_kg": 75.0,
    "sd_log_weight_kg": 0.25,
}
SHARES = {"a": 0.5, "b": 0.3, "c": 0.2}


def write_missing_model(folder):
    """The folder of the model."""
    folder.mkdir()
    (folder / "model.py").write_text(MISSING, encoding="utf-8")
    return folder
