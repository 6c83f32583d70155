"""A level with fifty molecular markers of which few act: the fastest model for a horseshoe.

level_i = typical + sum over markers of slope * marker + eta_i        labs at the level, with an additive error
"""

from bayestwin.specification import (
    Additive,
    HalfNormal,
    Horseshoe,
    LogNormal,
    Model,
    Normal,
    Observation,
    Parameter,
    Slope,
    Steps,
)

MARKERS = Horseshoe(expected_nonzero=3, patients=60)


def initial_state(p):
    """Nothing is solved."""
    return {"one": 1.0}


def vector_field(t, y, p, u):
    """Nothing is solved."""
    return {"one": 0.0 * y.one}


model = Model(
    name="markers",
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
            between=HalfNormal(sd=5.0),
            covariates=tuple(Slope(f"marker_{k}", reference=0.0, slope=MARKERS) for k in range(1, 51)),
        ),
    ),
    outputs={"m_protein": lambda t, y, p, u: p.level * y.one},
    observations=(
        Observation(
            "m_protein",
            unit="g/L",
            error=Additive(sd=LogNormal(median=1.0, sd_log=0.5)),
            plausible=(-100.0, 100.0),
            positive=False,
        ),
    ),
)
