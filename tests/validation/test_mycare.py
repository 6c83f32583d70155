"""The MyCARe score that the validation gives virtual patients, against the points counted by hand."""

import numpy as np
import pytest

from bayestwin.individual.parameters import covariate_terms
from bayestwin.specification import load_model
from bayestwin.specification.load import model_part
from tests.validation.mycare import points

MODEL = load_model("myeloma_car_t")
NORMAL = model_part(MODEL, "scores").FERRITIN_NORMAL  # 150 ug/L in women, 400 in men; the level is 350


@pytest.mark.parametrize(
    ("said", "level", "fitness", "score"),
    [
        ({}, 0.0, 0.0, 0),
        ({"sex": "female"}, 0.0, 0.0, 1),  # 350 is above a woman's limit
        ({}, 0.2, 0.0, 1),  # 350 e^0.2 = 427
        ({}, 0.0, -0.5, 1),  # 350 e^(0.3 x 0.5) = 407: the unfit
        ({}, 0.2, 0.5, 0),  # 427 e^(-0.15) = 367
        ({"extramedullary": 1, "lenalidomide_refractory": 1, "high_risk_cytogenetics": 1}, 1.0, 0.0, 4),
    ],
)
def test_a_virtual_patient_has_the_points_that_his_values_give(said, level, fitness, score):
    known = {"extramedullary": 0, "lenalidomide_refractory": 0, "high_risk_cytogenetics": 0, "iss": 1, "sex": "male"}
    terms = np.array([covariate_terms(MODEL, known | said)])
    normal = np.zeros((1, len(MODEL.individual_names)))
    normal[0, MODEL.individual_names.index("ferritin_level")] = level
    normal[0, MODEL.individual_names.index("fitness")] = fitness
    typical = np.zeros(len(MODEL.parameter_names))
    typical[MODEL.parameter_names.index("loading_ferritin")] = np.log(0.3)
    assert points(MODEL, terms, normal, typical, NORMAL).tolist() == [score]
