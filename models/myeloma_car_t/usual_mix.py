"""Shares of patients with a covariate, and what is taken where nothing says it of a patient.

Unknown cytogenetics are no standard-risk cytogenetics: a patient of whom they are not known has the share and the
spread of their effect among patients (decision 52). Of sex, which acts on background mortality alone, the share only.
KarMMa-3 [verified]; ISS and refractoriness to lenalidomide from memory. Isotype has none: a patient of 18 % light-chain
disease is nobody, so that one whose isotype is not known counts as IgG.
"""

from bayestwin.specification import CategoryCovariate

FEMALE = 0.39
DISTRIBUTIONS = (
    CategoryCovariate("high_risk_cytogenetics", levels=("0", "1"), shares=(0.58, 0.42), as_normal=True),
    CategoryCovariate("extramedullary", levels=("0", "1"), shares=(0.76, 0.24), as_normal=True, acquired=True),
    CategoryCovariate("iss", levels=("1", "2", "3"), shares=(0.46, 0.39, 0.15), as_normal=True),
    CategoryCovariate("lenalidomide_refractory", levels=("0", "1"), shares=(0.25, 0.75), as_normal=True, acquired=True),
)
