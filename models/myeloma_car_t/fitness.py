"""One latent score of T cells and their niche, z ~ Normal(0, 1), measured with error by whatever markers are there.

    ln Cmax + a z     logit p_nonresponse + b z     ln EC50 + c z     ln beta + d z        a, b, c, d ~ Normal(0, 0.3)

    median x e^(l z)      naive or central memory share, NK share
    median x e^(-l z)     CD4:CD8, exhausted share, CD39+ monocytes
    l z + noise           score of another programme, whose worth is not known

The markers give z its direction; what it does to expansion, response, potency and persistence may be nothing: small
studies (about 20 patients), so each slope is shrunk to zero. Markers are those of the apheresis. Without markers z is
what its effects make of the labs. Sources: Rade et al., Nature Cancer 2024 (not read; design from press text) [memory];
CD27+CD45RO- CD8 and CD4:CD8 [verified, abstracts]; medians, loadings and errors assumed.
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
ACTS_ON = ("expansion", "nonresponse", "EC50", "persistence")


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
            typical=Normal(mean=0.0, sd=0.3),
            source="domain notes: slopes N(0, 0.3)",
            mark="assumed",
        )
        for x in ACTS_ON
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
        for name in MARKERS
    ),
    Parameter(
        "loading_fitness_score",
        unit="",
        scale="log",
        typical=LogNormal(median=0.5, sd_log=0.5),
        source="correlation with z not known",
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
