"""One, two and three compartments against their textbook sums of exponentials, and against the adaptive solver."""

from dataclasses import replace

import numpy as np
import pytest

from bayestwin.dosing import DoseEvent
from bayestwin.individual.simulate import simulate_outputs
from bayestwin.specification import Adaptive, load_model

VALUES = {"ka": 0.9, "CL": 4.0, "V": 20.0, "Q": 3.0, "V2": 40.0, "Q2": 0.8, "V3": 90.0}
TIMES = np.array([0.25, 1.0, 3.0, 8.0, 24.0, 72.0])
NAMES = ("one_compartment", "two_compartment", "three_compartment")


def curve(name, values=VALUES, doses=(), **changed):
    model = load_model(name)
    model = replace(model, source_hash="", **changed) if changed else model
    mine = {k: values[k] for k in model.parameter_names}
    return simulate_outputs(model, mine, doses, [(t, False) for t in TIMES])[:, 0]


def disposition(values):
    """Rates and weights of the bolus curve of two compartments: C = sum of A exp(-alpha t) per unit dose."""
    k10, k12, k21 = values["CL"] / values["V"], values["Q"] / values["V"], values["Q"] / values["V2"]
    total, product = k10 + k12 + k21, k10 * k21
    alpha = 0.5 * (total + np.sqrt(total**2 - 4 * product) * np.array([1.0, -1.0]))
    return alpha, (k21 - alpha) / (alpha[::-1] - alpha) / values["V"]


def test_a_bolus_into_one_compartment_falls_exponentially():
    found = curve("one_compartment", doses=(DoseEvent(0.0, 100.0, "iv"),))
    np.testing.assert_allclose(found, 5.0 * np.exp(-0.2 * TIMES), rtol=1e-12)


def test_a_bolus_into_two_compartments_is_a_sum_of_two_exponentials():
    alpha, weight = disposition(VALUES)
    found = curve("two_compartment", doses=(DoseEvent(0.0, 100.0, "iv"),))
    np.testing.assert_allclose(found, 100.0 * (weight * np.exp(-np.outer(TIMES, alpha))).sum(axis=1), rtol=1e-10)


def test_an_oral_dose_into_two_compartments_is_a_sum_of_three_exponentials():
    alpha, weight = disposition(VALUES)
    ka = VALUES["ka"]
    terms = ka / (ka - alpha) * weight * (np.exp(-np.outer(TIMES, alpha)) - np.exp(-ka * TIMES)[:, None])
    found = curve("two_compartment", doses=(DoseEvent(0.0, 100.0, "oral"),))
    np.testing.assert_allclose(found, 100.0 * terms.sum(axis=1), rtol=1e-9)


def test_a_third_compartment_that_exchanges_nothing_is_not_there():
    dose = (DoseEvent(0.0, 100.0, "oral", addl=2, ii=6.0),)
    np.testing.assert_allclose(
        curve("three_compartment", VALUES | {"Q2": 1e-13}, dose), curve("two_compartment", doses=dose), rtol=1e-9
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_closed_form_equals_the_adaptive_solver(name):
    doses = (DoseEvent(0.0, 100.0, "oral", addl=3, ii=6.0), DoseEvent(2.0, 50.0, "iv", duration=3.0))
    np.testing.assert_allclose(curve(name, doses=doses), curve(name, doses=doses, steps=Adaptive()), rtol=1e-6)


@pytest.mark.parametrize("name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.validate) for name in NAMES[1:])])
def test_exposure_is_dose_over_clearance(name):
    steady = (DoseEvent(0.0, 0.0, "iv", rate=10.0, ss=1, lag=100.0),)  # the infusion runs until 100 h
    np.testing.assert_allclose(curve(name, doses=steady), 10.0 / VALUES["CL"], rtol=1e-9)
