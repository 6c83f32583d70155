"""Everything normal and known but three correlations: two blocks between patients, one between occasions."""

import numpy as np
from scipy import stats

from bayestwin.records import ClinicalEvent, Cohort, Lab, PatientRecord

HIERARCHY = '''
"""Four levels, of which two vary between occasions."""
from bayestwin.specification import *

def initial_state(p):
    return {"one": 1.0}

def vector_field(t, y, p, u):
    return {"one": 0.0 * y.one}

def level(name):
    return Parameter(name, unit="", scale="identity", typical=Fixed(value=0.0), between=Fixed(value=1.0))

def seen(name):
    return Observation(name, unit="", error=Additive(sd=Fixed(value=0.5)), plausible=(-99.0, 99.0), positive=False)

model = Model(
    name="hierarchy", time_unit="day", states=("one",), initial_state=initial_state, vector_field=vector_field,
    steps=Steps(first=1000.0, growth=1.0, largest=1000.0),
    parameters=(level("a"), level("b"), level("c"), level("d")),
    correlation=(LKJ(over=("a", "c"), concentration=1.5), LKJ(over=("d", "b"), concentration=2.0)),
    occasions=Occasions(sd={"a": Fixed(value=0.8), "d": Fixed(value=0.6)}, most=2,
                        correlation=LKJ(over=("d", "a"), concentration=1.0)),
    outputs={"of_a": lambda t, y, p, u: p.a * y.one, "of_b": lambda t, y, p, u: p.b * y.one,
             "of_c": lambda t, y, p, u: p.c * y.one, "of_d": lambda t, y, p, u: p.d * y.one},
    observations=(seen("of_a"), seen("of_b"), seen("of_c"), seen("of_d")),
)
'''
NAMES = ("a", "b", "c", "d")
TRUTH = {"ac": 0.8, "db": -0.7, "da": 0.6}  # between patients, between patients, between occasions


def write_hierarchy(folder):
    """The folder of the model."""
    folder.mkdir()
    (folder / "model.py").write_text(HIERARCHY, encoding="utf-8")
    return folder


def covariance(ac, db, da):
    """Of one patient's labs: a, b, c, d in the first occasion, then in the second; arrays broadcast, (..., 8, 8)."""
    ac, db, da = np.broadcast_arrays(ac, db, da)
    found = np.zeros((*ac.shape, 8, 8))
    occasion = {(0, 0): 0.8**2, (3, 3): 0.6**2, (0, 3): 0.8 * 0.6 * da, (3, 0): 0.8 * 0.6 * da}
    between = {(k, k): 1.0 for k in range(4)} | {(0, 2): ac, (2, 0): ac, (3, 1): db, (1, 3): db}
    for (i, j), value in between.items():
        for first in (0, 4):
            for second in (0, 4):
                found[..., first + i, second + j] += value
    for (i, j), value in occasion.items():
        for at in (0, 4):
            found[..., at + i, at + j] += value
    return found + 0.25 * np.eye(8)


def patients(count=12, seed=11) -> Cohort:
    """Two occasions each, every level measured once in each."""
    rng = np.random.default_rng(seed)
    values, records = rng.multivariate_normal(np.zeros(8), covariance(**TRUTH), count), []
    for n, row in enumerate(values):
        labs = [
            Lab(f"{name}{k}", f"of_{name}", 10.0 * k + 1.0, float(row[4 * k + j]), 10.0 * k + 1.0)
            for k in range(2)
            for j, name in enumerate(NAMES)
        ]
        events = (ClinicalEvent("covariate", 10.0, 10.0, "occasion = 2"),)
        records.append(PatientRecord(f"H-{n}", labs=tuple(labs), events=events))
    return Cohort(tuple(records))


def by_quadrature(cohort):
    """Posterior mean and SD of each correlation, over a grid of all three."""
    grid = np.linspace(-0.98, 0.98, 50)
    ac, db, da = np.meshgrid(grid, grid, grid, indexing="ij")
    y = np.array([[lab.value for lab in record.labs] for record in cohort])
    law = covariance(ac, db, da)
    spread = y.T @ y
    log_p = -0.5 * (len(y) * np.linalg.slogdet(law)[1] + np.trace(np.linalg.inv(law) @ spread, axis1=-2, axis2=-1))
    log_p += 0.5 * np.log(1 - ac**2) + 1.0 * np.log(1 - db**2)  # (1 - r^2)^(concentration - 1)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    means = {name: (p * r).sum() for name, r in zip(TRUTH, (ac, db, da))}
    return {name: (means[name], np.sqrt((p * (r - means[name]) ** 2).sum())) for name, r in zip(TRUTH, (ac, db, da))}


def density_on_paper(cohort, lower: dict, psi) -> float:
    """ln p(correlations, psi, labs), psi (N, 8): a, b, c, d, then the kappas of a and of d, both occasions each."""
    found = 0.0
    for name, shape in (("ac", 1.5), ("db", 2.0), ("da", 1.0)):
        r = lower[name][1, 0]
        # ln of the density of the factor's free entry, r itself: beta on (-1, 1)
        found += stats.beta(shape, shape, -1.0, 2.0).logpdf(r)
    ac, db, da = (lower[name][1, 0] for name in TRUTH)
    prior = np.eye(8)
    prior[0, 2] = prior[2, 0] = ac
    prior[3, 1] = prior[1, 3] = db
    prior[4:6, 4:6] *= 0.8**2
    prior[6:, 6:] *= 0.6**2
    for k in range(2):
        prior[4 + k, 6 + k] = prior[6 + k, 4 + k] = 0.8 * 0.6 * da
    found += stats.multivariate_normal(np.zeros(8), prior).logpdf(psi).sum()
    for record, own in zip(cohort, psi):
        a, b, c, d = own[:4]
        for k in range(2):
            expected = np.array([a + own[4 + k], b, c, d + own[6 + k]])
            values = [lab.value for lab in record.labs[4 * k : 4 * k + 4]]
            found += stats.norm(expected, 0.5).logpdf(values).sum()
    return found
