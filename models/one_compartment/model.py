"""One compartment with first-order absorption and elimination, for any drug.

    d depot/dt   = -ka depot
    d central/dt =  ka depot - (CL/V) central

concentration = central / V. NONMEM's numbers: depot 1, central 2 (ADVAN2 with clearances and volumes).
Source: NONMEM Users Guide VI (PREDPP); Gibaldi and Perrier (1982), Pharmacokinetics, 2nd edition, chapters 1 and 2.
The priors are wide and stand for no drug: the model is there for simulation from given parameters and as a start
for a model of a drug.
"""

from bayestwin.specification import (
    Combined,
    HalfNormal,
    Linear,
    LogNormal,
    Model,
    Observation,
    Parameter,
    Regimen,
    Treatment,
)


def initial_state(p):
    """Amounts before the first dose, mg."""
    return {"depot": 0.0, "central": 0.0}


def vector_field(t, y, p, u):
    """Flows, mg/h."""
    absorbed, eliminated = p.ka * y.depot, p.CL / p.V * y.central
    return {"depot": -absorbed, "central": absorbed - eliminated}


def concentration(t, y, p, u):
    """Plasma concentration, mg/L."""
    return y.central / p.V


WIDE, ANY = "assumed: wide, for no drug in particular", HalfNormal(sd=0.5)

model = Model(
    name="one_compartment",
    label="one compartment, first-order absorption",
    context_of_use="simulation from given parameters, checks of the dose engine, teaching",
    time_unit="h",
    dose_unit="mg",
    steps=Linear(),
    states=("depot", "central"),
    initial_state=initial_state,
    vector_field=vector_field,
    routes={"oral": "depot", "iv": "central"},
    parameters=(
        Parameter("ka", unit="1/h", scale="log", typical=LogNormal(median=1.0, sd_log=0.7), between=ANY, source=WIDE),
        Parameter("CL", unit="L/h", scale="log", typical=LogNormal(median=5.0, sd_log=0.7), between=ANY, source=WIDE),
        Parameter("V", unit="L", scale="log", typical=LogNormal(median=50.0, sd_log=0.7), between=ANY, source=WIDE),
    ),
    outputs={"concentration": concentration},
    observations=(
        Observation("concentration", unit="mg/L", error=Combined(sd=HalfNormal(sd=0.1), cv=HalfNormal(sd=0.3)),
                    plausible=(0.0, 10_000.0), positive=False),
    ),
    treatments=(
        Treatment("single_dose", label="100 mg once", regimen=Regimen.single("100 mg", route="oral"), starts_with="dose"),
    ),
)
