"""A small model in which every part of the language that the PyMC program speaks occurs, with a closed form."""

import numpy as np

from bayestwin.records import Cohort, Lab, PatientRecord

EVERY_PART = '''
"""A level that falls: level exp(-integral of rate), a share of it seen, and an offset."""
from bayestwin.specification import *

def initial_state(p):
    return {"a": p.level}

def vector_field(t, y, p, u):
    return {"a": -p.rate * y.a}

model = Model(
    name="every_part", time_unit="day", states=("a",), initial_state=initial_state, vector_field=vector_field,
    steps=Linear(),
    parameters=(
        Parameter("level", unit="g/L", scale="log", typical=LogNormal(median=20.0, sd_log=0.3),
                  between=HalfNormal(sd=0.4),
                  covariates=(Power("weight_kg", reference=70, exponent=Normal(mean=0.75, sd=0.2)),)),
        Parameter("share", unit="", scale="logit", typical=LogitNormal(median=0.4, sd_logit=0.5),
                  between=TruncatedNormal(mean=0.3, sd=0.2)),
        Parameter("offset", unit="g/L", scale="identity", typical=StudentT(df=4.0, location=3.0, scale=0.5),
                  between=Gamma(shape=2.0, rate=4.0),
                  covariates=(Slope("age_years", reference=60, slope=Normal(mean=0.0, sd=0.05)),)),
        Parameter("rate", unit="1/day", scale="log", typical=InverseGamma(shape=3.0, scale=0.1)),
        Parameter("gain", unit="", scale="log", typical=Fixed(value=1.5), between=Exponential(rate=3.0),
                  covariates=(Category("sex", level="f", shift=Normal(mean=0.0, sd=0.3), unknown=0.4),)),
        Parameter("floor", unit="", scale="logit", typical=Beta(a=2.0, b=5.0)),
        Parameter("shift", unit="g/L", scale="identity", typical=Uniform(low=-1.0, high=2.0)),
    ),
    drift=(Drift("rate", every=5.0, steps=2, sd=LogNormal(median=0.2, sd_log=0.3)),),
    correlation=LKJ(concentration=1.5, over=("level", "offset", "gain")),
    outputs={
        "additive": lambda t, y, p, u: y.a * p.share + p.offset,
        "relative": lambda t, y, p, u: y.a + p.floor,
        "heavy": lambda t, y, p, u: p.gain * y.a + 0.0 * p.shift,
        "both": lambda t, y, p, u: y.a + p.offset + p.shift,
        "wandering": lambda t, y, p, u: y.a,
        "drifting": lambda t, y, p, u: y.a,
    },
    observations=(
        Observation("additive", unit="g/L", error=Additive(sd=HalfCauchy(scale=1.0)), plausible=(-100.0, 100.0),
                    positive=False),
        Observation("relative", unit="g/L", error=LogNormalError(sd=HalfNormal(sd=0.3), low=HalfNormal(sd=1.0)),
                    plausible=(0.0, 500.0)),
        Observation("heavy", unit="g/L", error=Proportional(cv=HalfNormal(sd=0.3), nu=4), plausible=(0.0, 500.0)),
        Observation("both", unit="g/L", error=Combined(sd=HalfNormal(sd=1.0), cv=HalfNormal(sd=0.2)),
                    plausible=(0.0, 500.0)),
        Observation("wandering", unit="g/L", plausible=(0.0, 500.0), error=LogNormalError(
            sd=HalfNormal(sd=0.3),
            serial=SerialCorrelation(sd=HalfNormal(sd=0.4), time=LogNormal(median=5.0, sd_log=0.5),
                                     low=HalfNormal(sd=5.0), scaled_by="gain"))),
        Observation("drifting", unit="g/L", plausible=(0.0, 500.0), error=Combined(
            sd=HalfNormal(sd=1.0), cv=HalfNormal(sd=0.1),
            serial=SerialCorrelation(sd=HalfNormal(sd=2.0), time=LogNormal(median=3.0, sd_log=0.5)))),
    ),
)
'''
OUTPUTS = ("additive", "relative", "heavy", "both", "wandering", "drifting")
TIMES = (1.0, 4.0, 7.5, 13.0)
CENSORED = {("relative", 3): "left", ("relative", 0): "right", ("heavy", 2): "left", ("both", 1): "right"}


def write_every_part(folder):
    """The folder of the model."""
    folder.mkdir()
    (folder / "model.py").write_text(EVERY_PART, encoding="utf-8")
    return folder


def patients() -> Cohort:
    """Three patients with every output at four times, some beyond a limit; one lacks covariates."""
    covariates = ({"weight_kg": 82.0, "age_years": 51.0, "sex": "f"}, {}, {"weight_kg": 55.0, "sex": "m"})
    rng, records = np.random.default_rng(4), []
    for n, known in enumerate(covariates):
        labs = []
        for k, output in enumerate(OUTPUTS):
            for i, time in enumerate(TIMES[n % 2 :]):
                value = (10.0, 18.0, 26.0, 22.0, 18.0, 18.0)[k] * np.exp(-0.05 * time + 0.1 * rng.standard_normal())
                censoring = CENSORED.get((output, i), "none") if n != 1 else "none"
                labs.append(Lab(f"{output}@{time}", output, time, float(value), time, censoring=censoring))
        labs.sort(key=lambda lab: lab.time)
        records.append(PatientRecord(f"E-{n}", labs=tuple(labs), covariates=known))
    return Cohort(tuple(records))


def closed_form(values, records):
    """Every output in PyTensor; the rate changes by a factor exp(step) at days 5 and 10."""
    import pytensor.tensor as pt

    found = {}
    for output in OUTPUTS:
        rows = [(n, lab.time) for n, record in enumerate(records) for lab in record.labs if lab.output == output]
        patient, time = (np.array(part) for part in zip(*rows))
        of = {name: value[patient] for name, value in values.items()}
        second = of["rate"] * pt.exp(of["rate_step_1"])
        rates = (of["rate"], second, second * pt.exp(of["rate_step_2"]))
        spent = sum(r * np.clip(time - begin, 0.0, most) for r, begin, most in zip(rates, (0, 5, 10), (5, 5, np.inf)))
        a = of["level"] * pt.exp(-spent)
        found[output] = {
            "additive": a * of["share"] + of["offset"],
            "relative": a + of["floor"],
            "heavy": of["gain"] * a,
            "both": a + of["offset"] + of["shift"],
            "wandering": a,
            "drifting": a,
        }[output]
    return found
