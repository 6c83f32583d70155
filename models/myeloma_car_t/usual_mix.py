"""Shares of patients with a covariate: what is taken of it where nothing says it of a patient.

Unknown cytogenetics are no standard-risk cytogenetics. An effect on such a patient is the share of the effect that the
average of patients has; how it varies among them is left out: where all are unknown 0.9 on logit f and 0.33 on ln g,
where patients differ by 2.3 and 0.7 anyway (decision 51). KarMMa-3 [verified]; ISS and refractoriness to lenalidomide
from memory. Isotype has none: a patient of 18 % light-chain disease is nobody, so that one whose isotype is not known
counts as IgG.
"""

UNKNOWN = {
    "high_risk_cytogenetics": {"unknown": 0.42},
    "extramedullary": {"unknown": 0.24},
    "iss_2": {"unknown": 0.39},
    "iss_3": {"unknown": 0.15},
    "lenalidomide_refractory": {"unknown": 0.75},
    "female": {"unknown": 0.39},
}
