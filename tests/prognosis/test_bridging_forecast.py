"""A worse response to bridging never raises the forecast of cells to come: the chance itself, from records with labs.

`test_response_correlation.py` asks the same of what makes the chance; here whole twins learn the labs of bridging.
"""

import numpy as np
import pytest

from bayestwin.population import load_population
from bayestwin.prognosis import forecast
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification import load_model, model_folder
from bayestwin.twin import start_twin

NAME, BRIDGING = "myeloma_car_t", "dara_pd"
WORSE = (0.1, 0.4, 0.9, 1.3)  # M-protein after six weeks of bridging, share of the 30 g/L before
COVARIATES = {"isotype": "IgG", "prior_lines": 3, "age_years": 62, "sex": "male", "prior_bcma": 0}


def patient(share):
    """IgG myeloma, 30 g/L when bridging starts on day 3; two labs on the way to `share` of it."""
    levels = {0.0: 30.0, 24.0: 30.0 * share ** (0.5), 45.0: 30.0 * share}
    labs = [Lab(f"m{day:g}", "m_protein", day, level, day) for day, level in levels.items()]
    start = ClinicalEvent("line_of_therapy", 3.0, 3.0, BRIDGING)
    return PatientRecord("B-1", labs=labs, events=[start], covariates=COVARIATES)


@pytest.fixture(scope="module")
def twins():
    population = load_population(model_folder(NAME) / "population.nc", load_model(NAME))
    return {share: start_twin(population, patient(share), random_seed=3, particles=2000) for share in WORSE}


def chances(twins, rho, later):
    """12-month chance under a later treatment and its Monte Carlo error after each response to bridging."""
    found = []
    for twin in twins.values():
        assert twin.info.verdict == "PASS", twin.info.reasons
        one = forecast(twin, {"later": later}, random_seed=4, rho=rho, over_rho=False).chance("later", 12.0)
        found.append((one.value, one.mcse))
    values, errors = np.array(found).T
    print(f"{later}, rho {rho}: chance after bridging to", dict(zip(twins, values.round(3))), "+-", errors.round(3))
    return values, errors


@pytest.mark.validate
@pytest.mark.parametrize("later", ["ide_cel", "cilta_cel", "teclistamab"])
@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_the_worse_the_response_to_bridging_the_lower_the_chance_under_what_follows(twins, rho, later):
    values, errors = chances(twins, rho, later)
    for k in range(len(WORSE) - 1):
        assert values[k + 1] < values[k] + 3.0 * np.hypot(errors[k], errors[k + 1])
    assert values[-1] < values[0] - 0.1


@pytest.mark.validate
def test_uncorrelated_responses_are_told_apart_from_correlated_ones(twins):
    """At rho 0 nothing carries over but the patient's own course; what happens then is printed, and less is lost."""
    ends = {share: twins[share] for share in (WORSE[0], WORSE[-1])}
    (none, error), (some, other) = (chances(ends, rho, "ide_cel") for rho in (0.0, 0.9))
    assert none[0] - none[1] < some[0] - some[1] - 3.0 * np.sqrt((error**2).sum() + (other**2).sum())
