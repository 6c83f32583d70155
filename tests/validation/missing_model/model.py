"""A level that goes with age and with a group, both of which may be missing."""

from bayestwin.specification import (
    Additive,
    Category,
    CategoryCovariate,
    Fixed,
    LogNormal,
    Model,
    Normal,
    NormalCovariate,
    Observation,
    Parameter,
    Slope,
    Steps,
)


def initial_state(p):
    """Nothing is solved."""
    return {"one": 1.0}


def vector_field(t, y, p, u):
    """Nothing is solved."""
    return {"one": 0.0 * y.one}


model = Model(
    name="missing",
    time_unit="day",
    states=("one",),
    initial_state=initial_state,
    vector_field=vector_field,
    steps=Steps(first=1000.0, growth=1.0, largest=1000.0),
    parameters=(
        Parameter(
            "level",
            unit="g/L",
            scale="identity",
            typical=Normal(mean=20.0, sd=5.0),
            between=LogNormal(median=2.0, sd_log=0.5),
            covariates=(
                Slope("age_years", reference=60.0, slope=Normal(mean=0.0, sd=0.5)),
                Category("group", "b", shift=Normal(mean=0.0, sd=5.0)),
            ),
        ),
    ),
    covariate_distributions=(
        NormalCovariate("age_years", mean=Normal(mean=60.0, sd=20.0), sd=LogNormal(median=10.0, sd_log=0.5)),
        CategoryCovariate("group", levels=("a", "b")),
    ),
    outputs={"m_protein": lambda t, y, p, u: p.level * y.one},
    observations=(
        Observation(
            "m_protein", unit="g/L", error=Additive(sd=Fixed(value=1.0)), plausible=(-100.0, 100.0), positive=False
        ),
    ),
    covariate_units={"age_years": "years"},
)
