"""A small model whose outputs are counted and graded, and its posterior by quadrature; shared by the tests of several
rooms. Beside them stands a marker with a serially correlated departure, so that the stored state is more than a level.
"""

import numpy as np
from scipy import stats
from scipy.special import expit

from bayestwin.records import Lab, PatientRecord

COUNTED = '''
"""A severity that stays where it is, seen by infections counted, a grade, an answer, and a marker."""
import jax.numpy as jnp
from bayestwin.specification import *

def initial_state(p):
    return {"severity": p.severity}

def vector_field(t, y, p, u):
    return {"severity": 0.0 * y.severity}

model = Model(
    name="counted", time_unit="day", states=("severity",), initial_state=initial_state, vector_field=vector_field,
    steps=Steps(first=1000.0, growth=1.0, largest=1000.0),
    parameters=(
        Parameter("severity", unit="", scale="identity", typical=Normal(mean=0.5, sd=0.3), between=HalfNormal(sd=1.0)),
    ),
    outputs={
        "infections": lambda t, y, p, u: jnp.exp(y.severity),
        "grade": lambda t, y, p, u: y.severity,
        "answer": lambda t, y, p, u: 1.0 - y.severity,
        "marker": lambda t, y, p, u: y.severity,
    },
    observations=(
        Observation("infections", unit="", distribution=NegativeBinomial(overdispersion=HalfNormal(sd=0.5)),
                    plausible=(0, 200), label="infections"),
        Observation("grade", unit="grade", distribution=Ordinal(
            categories=(0, 1, 2, 3), cut_points=(Normal(mean=-0.5, sd=0.5), LogNormal(median=1.0, sd_log=0.3),
                                                 LogNormal(median=1.0, sd_log=0.3))), label="grade"),
        Observation("answer", unit="", distribution=Bernoulli(), label="answer"),
        Observation("marker", unit="g/L", plausible=(-50, 50), positive=False, label="marker",
                    error=Additive(sd=Fixed(value=0.5),
                                   serial=SerialCorrelation(sd=Fixed(value=0.5), time=Fixed(value=5.0)))),
    ),
    treatments=(Treatment("watch", label="watching"), Treatment("act", label="acting")),
)
'''
VALUES = (("infections", 4), ("grade", 3), ("answer", 0), ("infections", 2), ("grade", 1), ("infections", 0))


def write_counted_model(folder):
    """The folder of the model."""
    folder.mkdir()
    (folder / "model.py").write_text(COUNTED, encoding="utf-8")
    return folder


def counted_draws(n=100, seed=1):
    """Draws of the population, name -> (n,)."""
    rng = np.random.default_rng(seed)
    return {
        "severity_pop": 0.5 + 0.3 * rng.standard_normal(n),
        "omega_severity": 0.9 * np.exp(0.2 * rng.standard_normal(n)),
        "overdispersion_infections": 0.3 * np.exp(0.3 * rng.standard_normal(n)),
        "cut_1_grade": -0.5 + 0.3 * rng.standard_normal(n),
        "cut_step_2_grade": np.exp(0.2 * rng.standard_normal(n)),
        "cut_step_3_grade": np.exp(0.2 * rng.standard_normal(n)),
    }


def counted_record(values=VALUES, key="C-1", marker=()):
    """Labs one per day from day 1; marker : values on the same days."""
    labs = [Lab(f"{o}@{n}", o, float(n), float(v), float(n)) for n, (o, v) in enumerate(values, 1)]
    labs += [Lab(f"marker@{n}", "marker", float(n), float(v), float(n)) for n, v in enumerate(marker, 1)]
    return PatientRecord(key, labs=tuple(labs))


def mass(draws, m, output, value, severity):
    """P(value | severity) of population draw m, from scipy's own distributions."""
    if output == "infections":
        r = 1.0 / draws["overdispersion_infections"][m]
        return stats.nbinom.pmf(value, r, r / (r + np.exp(severity)))
    if output == "answer":
        return expit(1.0 - severity) if value else expit(severity - 1.0)
    steps = [draws[name][m] for name in ("cut_1_grade", "cut_step_2_grade", "cut_step_3_grade")]
    cdf = [stats.logistic.cdf(cut - severity) for cut in np.cumsum(steps)]
    return np.diff(np.stack([0.0 * severity, *cdf, 0.0 * severity + 1.0]), axis=0)[value]


def by_quadrature(draws, values, asked=()):
    """Mean and SD of the severity, ln evidence, and P(value) of each further lab in `asked`, over all draws alike."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    rows = []
    for m in range(len(draws["severity_pop"])):
        x = draws["severity_pop"][m] + draws["omega_severity"][m] * nodes
        w = weights / np.sqrt(2.0 * np.pi)
        for output, value in values:
            w = w * mass(draws, m, output, value, x)
        further = [(w * mass(draws, m, output, value, x)).sum() for output, value in asked]
        rows.append([w.sum(), (w * x).sum(), (w * x**2).sum(), *further])
    total, first, second, *further = np.mean(rows, axis=0)
    mean = first / total
    return mean, float(np.sqrt(second / total - mean**2)), float(np.log(total)), [p / total for p in further]
