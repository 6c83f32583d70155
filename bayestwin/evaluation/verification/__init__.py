"""Updating proved: however a record became known, the twin's posterior is the batch posterior within Monte Carlo error.

verify_patient       one patient, six ways of arriving at the posterior         -> Verification
verify_simulated     one simulated patient, against a reference of many particles -> rows for Proof
"""

from bayestwin.evaluation.verification.arrivals import first_part
from bayestwin.evaluation.verification.equality import welch
from bayestwin.evaluation.verification.follow import follow
from bayestwin.evaluation.verification.one_patient import verify_patient
from bayestwin.evaluation.verification.proof import Proof
from bayestwin.evaluation.verification.simulated import simulated_patient
from bayestwin.evaluation.verification.simulated_proof import verify_simulated
from bayestwin.evaluation.verification.verdict import Verification

__all__ = [
    "Proof",
    "Verification",
    "first_part",
    "follow",
    "simulated_patient",
    "verify_patient",
    "verify_simulated",
    "welch",
]
