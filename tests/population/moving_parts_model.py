"""A level that drifts and a hazard that differs between patients, both with a likelihood that is summed on a grid."""

import numpy as np

from bayestwin.records import ClinicalEvent, Cohort, Lab, PatientRecord

MOVING_PARTS = '''
"""A level that drifts, and a constant hazard of death of each patient."""
from bayestwin.specification import *

def initial_state(p):
    return {"one": 1.0}

def vector_field(t, y, p, u):
    return {"one": 0.0 * y.one}

model = Model(
    name="moving_parts", time_unit="day", states=("one",), initial_state=initial_state, vector_field=vector_field,
    steps=Steps(first=1000.0, growth=1.0, largest=1000.0),
    parameters=(
        Parameter("level", unit="", scale="identity", typical=Normal(mean=0.0, sd=2.0), between=HalfNormal(sd=1.0)),
        Parameter("h", unit="1/day", scale="log", typical=LogNormal(median=0.02, sd_log=1.0),
                  between=HalfNormal(sd=0.7)),
    ),
    drift=(Drift("level", every=10.0, steps=2, sd=HalfNormal(sd=1.0)),),
    hazards={"death": lambda t, y, p, u: p.h},
    outputs={"seen": lambda t, y, p, u: p.level * y.one},
    observations=(Observation("seen", unit="", error=Additive(sd=Fixed(value=0.4)), plausible=(-99.0, 99.0),
                              positive=False),),
    endpoints=(Progression(rules=(SerologicalRule("seen", relative=0.25, absolute=5.0),), visit_every=10.0,
                           death_hazard="death"),),
)
'''
SIGMA, LABS, PATIENTS, END = 0.4, (2.0, 7.0, 12.0, 17.0, 22.0, 27.0), 16, 60.0
NAMES = ("level_pop", "omega_level", "drift_sd_level", "h_pop", "omega_h")


def write_moving_parts(folder):
    """The folder of the model."""
    folder.mkdir()
    (folder / "model.py").write_text(MOVING_PARTS, encoding="utf-8")
    return folder


def patients(seed=8) -> Cohort:
    """Labs while they live, followed to day 60 at most."""
    rng, records = np.random.default_rng(seed), []
    for n in range(PATIENTS):
        steps = np.cumsum([0.5 + 0.8 * rng.standard_normal(), *(0.7 * rng.standard_normal(2))])
        died = rng.exponential(1 / (0.02 * np.exp(0.6 * rng.standard_normal())))
        times = [t for t in LABS if t < min(died, END)]
        labs = tuple(
            Lab(f"s{t:g}", "seen", t, float(steps[int(t // 10)] + SIGMA * rng.standard_normal()), t) for t in times
        )
        end = ("death", died) if died < END else ("last_known_alive", END)
        records.append(PatientRecord(f"M-{n}", labs=labs, events=(ClinicalEvent(end[0], end[1], end[1], ""),)))
    return Cohort(tuple(records))


def by_quadrature(cohort, *, last_knot: int = 2, hazard_counts: float = 1.0) -> dict:
    """Posterior mean and SD of every population parameter: level and hazard have nothing in common.

    last_knot 1 : the second step of the drift left out; hazard_counts other than 1 : of follow-up; both are wrong
    """
    return _of_levels(cohort, last_knot) | _of_hazards(cohort, hazard_counts)


def _moments(log_p, grids) -> dict:
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    found = {}
    for name, values in grids.items():
        mean = (p * values).sum()
        found[name] = mean, np.sqrt((p * (values - mean) ** 2).sum())
    return found


def _of_levels(cohort, last_knot):
    level, omega, drift = np.meshgrid(
        np.linspace(-2.5, 2.5, 51), np.linspace(0.03, 3.0, 45), np.linspace(0.03, 3.0, 45), indexing="ij"
    )
    log_p = -0.5 * (level / 2.0) ** 2 - 0.5 * omega**2 - 0.5 * drift**2
    for record in cohort:
        if not record.labs:
            continue
        y = np.array([lab.value for lab in record.labs])
        knots = np.minimum([int(lab.time // 10) for lab in record.labs], last_knot)
        shared = np.minimum(knots[:, None], knots)
        law = omega[0, :, :, None, None] ** 2 + drift[0, :, :, None, None] ** 2 * shared + SIGMA**2 * np.eye(len(y))
        inverse, log_det = np.linalg.inv(law), np.linalg.slogdet(law)[1]
        one = np.ones(len(y))
        a, b, c = (np.einsum("i,xyij,j->xy", p, inverse, q) for p, q in ((y, y), (y, one), (one, one)))
        at = level[:, 0, 0][:, None, None]
        log_p = log_p - 0.5 * (log_det + a - 2 * at * b + at**2 * c)
    return _moments(log_p, {"level_pop": level, "omega_level": omega, "drift_sd_level": drift})


def _of_hazards(cohort, counts):
    log_h, omega = np.meshgrid(
        np.linspace(np.log(0.02) - 3, np.log(0.02) + 3, 121), np.linspace(0.02, 2.8, 70), indexing="ij"
    )
    log_p = -0.5 * (log_h - np.log(0.02)) ** 2 - 0.5 * (omega / 0.7) ** 2
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    for record in cohort:
        last = record.events[0]
        u = log_h[..., None] + omega[..., None] * nodes
        inside = (u if last.event == "death" else 0.0 * u) - np.exp(u) * last.time * counts
        log_p = log_p + np.log((np.exp(inside) * weights).sum(axis=-1))
    return _moments(log_p, {"h_pop": np.exp(log_h), "omega_h": omega})
