"""IMWG response of simulated patients: the coding of imwg.py, asked of arrays of simulated labs.

Who is taken into a trial has at screening a serum M-protein of 5 g/L or more (several trials; the IMWG asks for 10),
or, in light-chain disease, 100 mg/L of involved light chains with an abnormal ratio. What the labs of a trial say:

    serum M-protein    with assay error; below the limit of the assay it is not seen
    immunofixation     positive with log-odds 3 ln(M-protein / limit), of the M-protein alone: trials use a test that
                       tells a therapeutic antibody from it (DIRA, mass spectrometry)
    light chains       involved less uninvolved; the ratio is normal up to 1.5 times the level without disease, as in
                       category.py, since BCMA-directed therapy takes the uninvolved ones too

Assumed, since the model says nothing of these tests: immunofixation of urine is what it is in serum, the marrow is
clear where it is negative, and there is no plasmacytoma. So CR here is what the protein allows. Response counts from
the visit at which the treatment starts, and ends with progression, death and drop-out. By what a patient is followed is
decided at screening, as entry is: who was taken in with 6 g/L can respond though 4.9 were left at the start.
"""

import numpy as np

from .imwg import CR, PR, code
from .visits import Criteria, Measurable, Visits, measurable

OUTPUTS = ("m_protein", "involved_flc", "uninvolved_flc")
PARAMETERS = ("light_chain", "FLC_floor", "IFE_limit")
TRIALS = Criteria(serum_measurable=5.0)
NORMAL = 1.5  # times the level without disease
LEAST_SEEN = 0.5  # g/L, the lower limit of the assay in model.py
STEEP = 3.0  # log-odds of a positive immunofixation per ln of M-protein, as in markers.py


def response_of_arrays(labs):
    """(entered, response, complete) of P simulated courses (bayestwin.prognosis.virtual_response.SimulatedLabs)."""
    by = at_screening(labs)
    entered = np.where(labs.values["light_chain"] > 0.5, by.chains[:, 0], by.serum[:, 0])
    best = code(simulated_trial_visits(labs), TRIALS, by).best
    return entered, best >= PR, best >= CR


def at_screening(labs) -> Measurable:
    """By what each of P patients is followed, (P, 1) each."""
    protein, involved = labs.screening["m_protein"], labs.screening["involved_flc"]
    known = {"serum": protein, "involved": involved, "normal_ratio": involved <= NORMAL * labs.values["FLC_floor"]}
    return measurable(Visits.of((len(protein), 1), **{name: x[:, None] for name, x in known.items()}), TRIALS)


def simulated_trial_visits(labs) -> Visits:
    """Visits of P simulated courses from the start of the treatment on; see the text above."""
    seen = {name: values[:, labs.begin :] for name, values in labs.seen.items()}
    protein, involved = seen["m_protein"], seen["involved_flc"]
    missing = np.isnan(protein)
    latent = np.maximum(labs.latent["m_protein"][:, labs.begin :], 1e-6)
    log_odds = STEEP * (np.log(latent) - np.log(labs.values["IFE_limit"])[:, None])
    positive = np.where(missing, np.nan, log_odds + labs.rng.logistic(size=latent.shape) > 0.0)
    normal = np.where(missing, np.nan, involved <= NORMAL * labs.values["FLC_floor"][:, None])
    return Visits.of(
        protein.shape,
        serum=protein,
        serum_seen=np.where(missing, np.nan, protein > LEAST_SEEN),
        ife_serum=positive,
        ife_urine=positive,
        marrow=np.where(missing, np.nan, np.where(positive == 0.0, 0.0, 50.0)),
        involved=involved,
        dflc=involved - seen["uninvolved_flc"],
        normal_ratio=normal,
    )
