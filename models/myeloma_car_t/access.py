"""The way to CAR-T cells: how long it takes, who never gets there, and what these get instead.

    logit c = logit c_product + unfit_on_drop_out ln(g / 0.0075) + slope (deprivation - 3)

c is the chance that a patient who has given cells is never infused within the usual vein-to-vein time; it rises with
growth, since most who drop out progress or die in bridging [assumed]. Counts: KarMMa-3 and CARTITUDE-4, infused of
randomised. Deprivation (quintiles, 5 most deprived) acts on the way, never on the tumour; its sizes were not looked up.
"""

import jax
import jax.numpy as jnp

from bayestwin.specification import Delay, LogitNormal, Normal, Parameter, Slope

# Quintiles of deprivation, 5 most deprived: access, drop-out and non-myeloma mortality, never how the tumour grows
DEPRIVATION = (Slope("deprivation", reference=3.0, slope=Normal(mean=0.1, sd=0.1)),)  # size not looked up [assumed]
VEIN_TO_VEIN = {"ide_cel": 49.0, "cilta_cel": 44.0}  # days, medians; ranges 34 to 117 and 25 to 127 [verified]
TO_LEUKAPHERESIS = 14.0  # days from referral [assumed]
DELAYS = (Delay("deprivation", reference=3.0, per_unit=3.0),)  # days per quintile [assumed]
INSTEAD = "standard_care"
TYPICAL_GROWTH = 0.0075  # 1/day
NEVER_INFUSED = {"ide_cel": (254 - 225, 254), "cilta_cel": (208 - 176, 208)}  # [verified]


def never_infused(product):
    """Chance of never being infused, a function of a patient's parameters."""

    def chance(p):
        typical = getattr(p, f"not_infused_{product}")
        fast = p.unfit_on_drop_out * jnp.log(p.g / TYPICAL_GROWTH)
        return jax.nn.sigmoid(jnp.log(typical) - jnp.log1p(-typical) + fast)

    return chance


def way_to(product) -> dict:
    """What a `Treatment` says of the way to a product."""
    return {
        "starts_with": "infusion", "cell_therapy": True, "wait": VEIN_TO_VEIN[product], "delays": DELAYS,
        "to_leukapheresis": TO_LEUKAPHERESIS, "never_starts": never_infused(product), "instead": INSTEAD,
    }  # fmt: skip


PARAMETERS = (
    *(
        Parameter(
            f"not_infused_{product}", unit="", scale="logit", treatment=product,
            typical=LogitNormal(median=lost / of, sd_logit=0.4), covariates=DEPRIVATION,
            source=f"{of - lost} of {of} infused; between settings SD 0.35 of the logit [assumed]", mark="derived",
        )
        for product, (lost, of) in NEVER_INFUSED.items()
    ),
    Parameter(
        "unfit_on_drop_out", unit="", scale="identity", typical=Normal(mean=0.5, sd=0.5),
        source="growth twice as fast: odds of never being infused 1.4 times as high", mark="assumed",
    ),
)  # fmt: skip
