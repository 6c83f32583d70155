"""Updating proved: however a record became known, the twin's posterior is the batch posterior within Monte Carlo error.

verify_patient       one patient, six ways of arriving at the posterior         -> Verification
verify_simulated     one simulated patient, against a reference of many particles -> rows for Proof
nuts_rows            that reference against long NUTS                             -> rows for Proof
calibration_rows     where the truth of a simulated patient lies in his posterior -> rows for Calibration
"""

from bayestwin.evaluation.verification.arrivals import first_part
from bayestwin.evaluation.verification.calibration import calibration_rows
from bayestwin.evaluation.verification.calibration_verdict import Calibration
from bayestwin.evaluation.verification.equality import welch
from bayestwin.evaluation.verification.follow import follow
from bayestwin.evaluation.verification.long_nuts import nuts_rows
from bayestwin.evaluation.verification.one_patient import verify_patient
from bayestwin.evaluation.verification.proof import Proof
from bayestwin.evaluation.verification.simulated import simulated_patient, simulated_with_truth
from bayestwin.evaluation.verification.simulated_proof import verify_simulated
from bayestwin.evaluation.verification.verdict import Verification

__all__ = [
    "Calibration",
    "Proof",
    "Verification",
    "calibration_rows",
    "first_part",
    "follow",
    "nuts_rows",
    "simulated_patient",
    "simulated_with_truth",
    "verify_patient",
    "verify_simulated",
    "welch",
]
