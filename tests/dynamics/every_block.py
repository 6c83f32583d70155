"""A model that uses every building block at once, so that one compiled program serves all their tests.

Time in days, amounts in mg, volumes in L. DOSES go straight into the compartments, each twice; the closed-form transit
input is told of the first only. PARTS names the states that belong together.
"""

from bayestwin.dosing import DoseEvent
from bayestwin.specification import load_model

TEXT = '''
"""Every building block."""
import jax.numpy as jnp
from bayestwin.dynamics.blocks import *
from bayestwin.specification import *

DOSE = 80.0

def initial_state(p):
    ln = jnp.log(p.C0)
    cells = {"prol": p.C0, "t1": p.C0, "t2": p.C0, "t3": p.C0, "circ": p.C0}
    return {
        "depot": 0.0, "one": 0.0, "c0": 0.0, "c1": 0.0, "c2": 0.0, "gamma": 0.0, "central": 0.0, "near": 0.0,
        "far": 0.0, "bolus": 0.0, "waning": 0.0, "drug": 0.0, "target": p.ksyn / p.kdeg, "constant": 0.0, "qss": 0.0,
        "site": 0.0, "virtual": 0.0, "kpd": p.kin / p.kout, "i1": p.kin / p.kout, "i2": p.kin / p.kout,
        "i3": p.kin / p.kout, "i4": p.kin / p.kout, "ln_i1": jnp.log(p.kin / p.kout), **cells,
        **{f"ln_{name}": ln for name in cells},
    }

def vector_field(t, y, p, u):
    C = y.one / p.V
    chain, absorbed = transit_chain((y.c0, y.c1, y.c2), p.ktr)
    central, near, far = compartments(y.central, p.CL, p.V, (y.near, p.Q, p.V2), (y.far, p.Q2, p.V3))
    bound = quasi_equilibrium(y.drug / p.V, y.target, p.Kd)
    fixed = quasi_equilibrium(y.constant / p.V, p.R0, p.Kd)
    slow = quasi_steady_state(y.qss / p.V, p.R0, 1.0, p.Kd, p.kint)
    E = p.Imax * saturation(C, p.IC50, p.hill)
    effect = 0.5 * saturation(C, p.IC50)
    virtual = dose_intensity(y.virtual, p.kE)
    linear_CL = p.CL * (1.0 + exponential_decline(t, p.kdes)) * jnp.exp(0.6 * sigmoid_decline(t, p.t50, p.hill))
    blood = dict(baseline=p.C0, transit_time=p.MTT, feedback=p.feedback, effect=effect)
    made = myelosuppression(y.prol, (y.t1, y.t2, y.t3), y.circ, **blood)
    logs = log_myelosuppression(y.ln_prol, (y.ln_t1, y.ln_t2, y.ln_t3), y.ln_circ, **blood)
    names = ("prol", "t1", "t2", "t3", "circ")
    return {
        "depot": -first_order(y.depot, p.ka), "one": first_order(y.depot, p.ka) - eliminated(y.one, p.CL, p.V),
        "c0": chain[0], "c1": chain[1], "c2": chain[2], "gamma": gamma_input(t - 1.0, DOSE, p.ktr, p.n),
        "central": central, "near": near, "far": far,
        "bolus": -michaelis_menten(y.bolus, p.Vmax, p.Km, p.V), "waning": -eliminated(y.waning, linear_CL, p.V),
        "drug": -p.V * (p.CL / p.V * bound.free + p.kint * bound.complex),
        "target": turnover(bound.target, p.ksyn, p.kdeg) - p.kint * bound.complex,
        "constant": -p.V * (p.CL / p.V * fixed.free + p.kint * fixed.complex),
        "qss": -p.V * (p.CL / p.V * slow.free + p.kint * slow.complex),
        "site": effect_compartment(y.site, C, p.ke0), "virtual": -virtual,
        "kpd": turnover(y.kpd, inhibited(p.kin, p.Imax * saturation(virtual, p.EDK50)), p.kout),
        "i1": turnover(y.i1, inhibited(p.kin, E), p.kout), "i2": turnover(y.i2, p.kin, inhibited(p.kout, E)),
        "i3": turnover(y.i3, stimulated(p.kin, E), p.kout), "i4": turnover(y.i4, p.kin, stimulated(p.kout, E)),
        "ln_i1": log_turnover(y.ln_i1, inhibited(p.kin, E), p.kout),
        **dict(zip(names, made)), **{f"ln_{name}": slope for name, slope in zip(names, logs)},
    }

def log(name, median, sd=0.4):
    typical = LogNormal(median=median, sd_log=sd)
    return Parameter(name, unit="", scale="log", typical=typical, between=HalfNormal(sd=0.1))

model = Model(
    name="every_block", time_unit="day", dose_unit="mg", initial_state=initial_state, vector_field=vector_field,
    states=("depot", "one", "c0", "c1", "c2", "gamma", "central", "near", "far", "bolus", "waning", "drug", "target",
            "constant", "qss", "site", "virtual", "kpd", "i1", "i2", "i3", "i4", "ln_i1",
            "prol", "t1", "t2", "t3", "circ", "ln_prol", "ln_t1", "ln_t2", "ln_t3", "ln_circ"),
    parameters=(
        log("ka", 1.5), log("CL", 2.0), log("V", 5.0), log("Q", 1.0), log("V2", 6.0), log("Q2", 0.3), log("V3", 20.0),
        log("ktr", 2.0), log("n", 2.0), log("Vmax", 6.0), log("Km", 2.0), log("kdes", 0.2), log("t50", 3.0),
        log("hill", 1.7), log("Kd", 0.5), log("ksyn", 1.0), log("kdeg", 0.3), log("kint", 0.6), log("R0", 3.0),
        log("ke0", 0.8), log("kE", 0.5), log("EDK50", 10.0), log("kin", 4.0), log("kout", 0.4),
        Parameter("Imax", unit="", scale="logit", typical=LogitNormal(median=0.8, sd_logit=0.5),
                  between=HalfNormal(sd=0.1)),
        log("IC50", 3.0), log("C0", 5.0), log("MTT", 4.5), log("feedback", 0.17),
    ),
    outputs={"concentration": lambda t, y, p, u: y.one / p.V},
    observations=(Observation("concentration", unit="mg/L", error=Additive(sd=HalfNormal(sd=0.5)),
                              plausible=(0.0, 1000.0)),),
)
'''

PARTS = {
    "first order absorption, linear elimination": ("depot", "one"),
    "transit chain": ("c0", "c1", "c2"),
    "transit, closed form": ("gamma",),
    "three compartments": ("central", "near", "far"),
    "Michaelis-Menten": ("bolus",),
    "waning clearance": ("waning",),
    "quasi-equilibrium, target turns over": ("drug", "target"),
    "quasi-equilibrium, constant target": ("constant",),
    "quasi-steady state": ("qss",),
    "effect compartment": ("site",),
    "K-PD": ("virtual", "kpd"),
    "indirect response I": ("i1",),
    "indirect response II": ("i2",),
    "indirect response III": ("i3",),
    "indirect response IV": ("i4",),
    "turnover in logs": ("ln_i1",),
    "myelosuppression": ("prol", "t1", "t2", "t3", "circ"),
    "myelosuppression in logs": ("ln_prol", "ln_t1", "ln_t2", "ln_t3", "ln_circ"),
}
DOSE = 80.0
DOSES = tuple(
    DoseEvent(time, DOSE, into)
    for into in ("depot", "c0", "central", "bolus", "waning", "drug", "constant", "qss", "virtual")
    for time in (1.0, 4.0)
)
TIMES = (1.5, 3.0, 4.5, 7.0, 12.0)


def write_every_block(folder):
    """The model, loaded from a folder of its own."""
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(TEXT, encoding="utf-8")
    return load_model(folder)
