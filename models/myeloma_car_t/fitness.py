"""One latent score of T cells and their niche, z ~ Normal(0, 1), measured with error by whatever markers are there.

    ln Cmax + a z     logit p_nonresponse + b z     ln EC50 + c z     ln beta + d z

    a ~ Normal(0.2, 0.2)      b, c, d ~ Normal(-0.2, 0.2)      more expansion, response, potency and persistence

    median x e^(l z)      naive or central memory share, NK share
    median x e^(-l z)     CD4:CD8, exhausted share, CD39+ monocytes; ferritin and CRP (markers.py), which are routine
    l z + noise           score of another programme, whose worth is not known: l ~ Normal(0.4, 0.4)

The markers give z its direction, and with it what it does has one: the domain notes give the signs, and slopes of root
mean square 0.3, because studies are small (about 20 patients). So a slope has its sign with 84 in 100, and is 0.28 in
root mean square. Markers are those of the apheresis. Without markers z is what its effects make of the labs.

Sources: Rade et al., Nature Cancer 2024 (not read; design from press text) [memory]; CD27+CD45RO- CD8 and CD4:CD8
[verified, abstracts]; ferritin as a point of MyCARe [verified, abstract]; medians, loadings and errors assumed.
"""

import jax.numpy as jnp

from bayestwin.specification import Additive, Fixed, LogNormal, LogNormalError, Normal, Observation, Parameter

MARKERS = {  # output -> (median, sign, unit, largest, residual SD of ln, label)
    "cd4_cd8_ratio": (1.0, -1.0, "", 100.0, 0.6, "CD4:CD8 of the apheresis"),
    "naive_memory_share": (15.0, 1.0, "%", 100.0, 0.6, "naive or central memory T cells of the apheresis"),
    "exhausted_share": (20.0, -1.0, "%", 100.0, 0.6, "exhausted T cells (PD-1, TIGIT, LAG-3)"),
    "cd39_monocytes": (10.0, -1.0, "%", 100.0, 0.6, "CD39+ monocytes"),
    "nk_share": (12.0, 1.0, "%", 100.0, 0.6, "NK cells"),
}
ROUTINE = ("ferritin", "crp")  # labs of markers.py that are higher in the unfit
# Means of the slopes on ln Cmax, logit p, ln EC50, ln beta
ACTS_ON = {"expansion": 0.2, "nonresponse": -0.2, "EC50": -0.2, "persistence": -0.2}


def _marker(name, median, sign):
    def output(t, y, p, u):
        """A marker of the apheresis at this patient's fitness."""
        return median * jnp.exp(sign * getattr(p, f"loading_{name}") * p.fitness)

    return output


def fitness_score(t, y, p, u):
    """An external score, standardised."""
    return p.loading_fitness_score * p.fitness


OUTPUTS = {**{name: _marker(name, m[0], m[1]) for name, m in MARKERS.items()}, "fitness_score": fitness_score}
PARAMETERS = (
    Parameter(
        "fitness",
        unit="",
        scale="identity",
        typical=Fixed(value=0.0),
        between=Fixed(value=1.0),
        source="standard normal by definition",
        mark="assumed",
    ),
    *(
        Parameter(
            f"fitness_on_{x}",
            unit="",
            scale="identity",
            typical=Normal(mean=mean, sd=0.2),
            source="signs and root mean square 0.3 of the domain notes",
            mark="assumed",
        )
        for x, mean in ACTS_ON.items()
    ),
    *(
        Parameter(
            f"loading_{name}",
            unit="",
            scale="log",
            typical=LogNormal(median=0.3, sd_log=0.5),
            source="wide",
            mark="assumed",
        )
        for name in (*MARKERS, *ROUTINE)
    ),
    Parameter(
        "loading_fitness_score",
        unit="",
        scale="identity",
        typical=Normal(mean=0.4, sd=0.4),
        source="correlation with z not known: 0.45 in the mean, none or against it in 16 of 100",
        mark="assumed",
    ),
)
OBSERVATIONS = (
    *(
        Observation(
            name,
            unit=unit,
            error=LogNormalError(sd=Fixed(value=sd), nu=5.0),
            plausible=(0.0, high),
            label=label,
            layer="research",
            unit_required=bool(unit),
            source="assumed",
        )
        for name, (_, _, unit, high, sd, label) in MARKERS.items()
    ),
    Observation(
        "fitness_score",
        unit="",
        error=Additive(sd=Fixed(value=0.8)),
        plausible=(-10.0, 10.0),
        positive=False,
        unit_required=False,
        label="external T-cell fitness score",
        layer="research",
        source="assumed",
    ),
)
