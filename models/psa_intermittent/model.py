"""Prostate-specific antigen (PSA) and testosterone under intermittent androgen deprivation.

Androgen A falls under castration; in a pause it returns, to a share r of what it was, once the depot is used up:

    dA/dt = k_A (target - A)       target = 0 on treatment,  r / (1 + exp(-(tau - lag)/w)) at time tau of a pause

The signal s that reaches the cells is A in a pause and none on treatment (cyproterone acetate blocks the receptor
before testosterone falls). It drives how much PSA a sensitive cell makes (E, down to a castrate share eps) and whether
it grows or dies; resistant cells R need no androgen. B and R are relative to the sensitive cells at time zero:

    dE/dt = k_E (eps + (1 - eps) s - E)      d ln B/dt = g s - d (1 - s)      ln R = ln f_R + g_R t
    PSA = P0 (B E + R)                       testosterone = T_c + (T_0 - T_c) A

What these equations do not say of ln PSA is a serially correlated departure, larger where PSA is low and in men whose
PSA wanders (`serial`), summed out in the likelihood. PSA itself is cleared within days and follows at once.

Sources: structure after Hirata et al. (2010), J Theor Biol 264:517 (on and off treatment, sensitive and resistant
cells) and Brady-Nicholls et al. (2020), Nat Commun 11:1750; priors wide and assumed, see card.md.
"""

import jax.numpy as jnp

from bayestwin.specification import (
    Drift,
    Fixed,
    HalfNormal,
    LogitNormal,
    LogNormal,
    LogNormalError,
    Model,
    Observation,
    Parameter,
    Progression,
    SerialCorrelation,
    SerologicalRule,
    Steps,
    Treatment,
)


def initial_state(p):
    """Androgen and expression at their own level, relative burden 1."""
    return {"androgen": 1.0, "expression": 1.0, "ln_sensitive": 0.0}


def slowed(k):
    """A rate of at most 1/(4 days): monthly visits cannot tell faster ones apart, and the step grid stays stable."""
    return k / (1.0 + 4.0 * k)


def vector_field(t, y, p, u):
    """Rates, 1/day."""
    on, pause = u.on("androgen_deprivation"), u.on("pause")
    returned = p.recovery / (1.0 + jnp.exp(-jnp.clip((u.since("pause") - p.lag) / p.width, -30.0, 30.0)))
    target = (1.0 - on) * jnp.where(pause > 0.0, returned, 1.0)
    signal = (1.0 - on) * y.androgen
    return {
        "androgen": slowed(p.k_A) * (target - y.androgen),
        "expression": slowed(p.k_E) * (p.eps + (1.0 - p.eps) * signal - y.expression),
        "ln_sensitive": p.g * signal - p.d * (1.0 - signal),
    }


def psa(t, y, p, u):
    """Serum PSA, ng/mL."""
    sensitive = jnp.exp(jnp.clip(y.ln_sensitive, -30.0, 30.0)) * jnp.maximum(y.expression, 1e-6)
    resistant = p.f_R / (1.0 - p.f_R) * jnp.exp(jnp.clip(p.g_R * t, -30.0, 30.0))
    return p.P0 * (sensitive + resistant)


def testosterone(t, y, p, u):
    """Serum testosterone, nmol/L."""
    return p.T_c + jnp.maximum(p.T_0 - p.T_c, 0.0) * jnp.clip(y.androgen, 0.0, 1.5)


model = Model(
    name="psa_intermittent",
    label="prostate cancer, intermittent androgen deprivation",
    context_of_use="Research use only: men with rising PSA after radiotherapy on intermittent androgen deprivation.",
    time_unit="day",
    steps=Steps(first=4.0, growth=1.15, largest=12.0),
    states=("androgen", "expression", "ln_sensitive"),
    initial_state=initial_state,
    vector_field=vector_field,
    parameters=(
        Parameter("P0", unit="ng/mL", scale="log", typical=LogNormal(median=12.0, sd_log=0.5), between=HalfNormal(sd=0.8),
                  source="trial entry at PSA above 6 ng/mL", mark="assumed"),
        Parameter("lag", unit="day", scale="log", typical=LogNormal(median=40.0, sd_log=0.4), between=HalfNormal(sd=0.6),
                  source="a depot given every four weeks wears off over months", mark="assumed"),
        Parameter("width", unit="day", scale="log", typical=LogNormal(median=10.0, sd_log=0.5), between=HalfNormal(sd=0.4),
                  source="recovery is steep once it begins", mark="assumed"),
        Parameter("k_A", unit="1/day", scale="log", typical=LogNormal(median=0.08, sd_log=0.4), between=HalfNormal(sd=0.4),
                  source="castrate within four to six weeks of depot leuprolide", mark="assumed"),
        Parameter("recovery", unit="", scale="logit", typical=LogitNormal(median=0.7, sd_logit=0.7), between=HalfNormal(sd=1.0),
                  source="recovery of testosterone is often incomplete", mark="assumed"),
        Parameter("k_E", unit="1/day", scale="log", typical=LogNormal(median=0.06, sd_log=0.4), between=HalfNormal(sd=0.4),
                  source="PSA half-life days, expression follows within weeks", mark="assumed"),
        Parameter("eps", unit="", scale="logit", typical=LogitNormal(median=0.05, sd_logit=0.8), between=HalfNormal(sd=1.0),
                  source="PSA falls by 95 % and more", mark="assumed"),
        Parameter("g", unit="1/day", scale="log", typical=LogNormal(median=0.003, sd_log=0.6), between=HalfNormal(sd=0.6),
                  source="PSA doubling time of months", mark="assumed"),
        Parameter("d", unit="1/day", scale="log", typical=LogNormal(median=0.005, sd_log=0.6), between=HalfNormal(sd=0.6),
                  source="slow second phase of decline", mark="assumed"),
        Parameter("f_R", unit="", scale="logit", typical=LogitNormal(median=0.003, sd_logit=1.5), between=HalfNormal(sd=1.5),
                  source="wide", mark="assumed"),
        Parameter("g_R", unit="1/day", scale="log", typical=LogNormal(median=0.001, sd_log=0.8), between=HalfNormal(sd=0.7),
                  source="wide", mark="assumed"),
        Parameter("wander", unit="", scale="log", typical=Fixed(value=1.0), between=HalfNormal(sd=0.5),
                  source="men differ in how far PSA strays from a course", mark="assumed"),
        Parameter("T_0", unit="nmol/L", scale="log", typical=LogNormal(median=12.0, sd_log=0.2), between=HalfNormal(sd=0.4),
                  source="reference range of adult men 8 to 29 nmol/L", mark="memory"),
        Parameter("T_c", unit="nmol/L", scale="log", typical=LogNormal(median=0.4, sd_log=0.4), between=HalfNormal(sd=0.4),
                  source="castrate below 1.7 nmol/L", mark="memory"),
    ),
    drift=(Drift("lag", every=300.0, steps=7, sd=LogNormal(median=0.3, sd_log=0.5), source="every pause follows another last injection [assumed]"),),
    outputs={"psa": psa, "testosterone": testosterone},
    observations=(
        Observation("psa", unit="ng/mL", error=LogNormalError(sd=LogNormal(median=0.12, sd_log=0.5), low=LogNormal(median=0.04, sd_log=0.5),
                    serial=SerialCorrelation(sd=LogNormal(median=0.3, sd_log=0.5), time=LogNormal(median=90.0, sd_log=0.7), low=LogNormal(median=2.0, sd_log=1.0), scaled_by="wander")), plausible=(0.001, 5_000.0),
                    lower_limit=0.1, label="PSA", source="assay 5 to 10 %, day to day more"),
        Observation("testosterone", unit="nmol/L", error=LogNormalError(sd=LogNormal(median=0.25, sd_log=0.4), nu=3.0), plausible=(0.01, 80.0),
                    lower_limit=0.1, label="testosterone", source="assay and time of day"),
    ),
    treatments=(
        Treatment("androgen_deprivation", label="androgen deprivation (leuprolide, cyproterone acetate)",
                  evidence="Canadian phase II study of intermittent suppression, single arm",
                  assumption="started at once and continued", source="Bruchovsky 2006, 2007"),
        Treatment("pause", label="pause", evidence="Canadian phase II study of intermittent suppression, single arm",
                  assumption="paused at once", source="Bruchovsky 2006, 2007"),
    ),
    endpoints=(
        # progression of PSA on treatment only: +25 % and +2 ng/mL over the nadir of the episode, confirmed (PCWG3)
        Progression(
            rules=(SerologicalRule("psa", relative=0.25, absolute=2.0, counts_on=("androgen_deprivation",)),),
            visit_every=28.0, confirmations=2, landmarks_months=(6, 12, 24), horizon_months=36,
        ),
    ),
)
