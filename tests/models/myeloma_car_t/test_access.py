"""The way to CAR-T cells: counts of those who were never infused, what moves them, and what deprivation may touch."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bayestwin.individual import covariate_terms
from bayestwin.prognosis.plan import make_plans
from bayestwin.records import ClinicalEvent, PatientRecord
from bayestwin.specification import load_model
from bayestwin.specification.load import model_part

MODEL = load_model("myeloma_car_t")
ACCESS = model_part(MODEL, "access")
SUITABLE = {"prior_lines": 3, "triple_class_exposed": 1, "prior_bcma": 0}


def odds(product, *, g=0.0075, chance=None, unfit=0.5):
    typical = chance or next(p.typical.median for p in MODEL.parameters if p.name == f"not_infused_{product}")
    p = SimpleNamespace(g=g, unfit_on_drop_out=unfit, **{f"not_infused_{product}": typical})
    found = float(MODEL.treatment(product).never_starts(p))
    return found / (1 - found)


def test_with_typical_growth_as_many_drop_out_as_in_the_trials():
    assert odds("ide_cel") == pytest.approx(29 / 225, rel=1e-5)
    assert odds("cilta_cel") == pytest.approx(32 / 176, rel=1e-5)


def test_who_grows_faster_drops_out_more_often():
    assert odds("ide_cel", g=0.015) / odds("ide_cel") == pytest.approx(np.sqrt(2.0), rel=1e-5)
    assert odds("ide_cel", g=0.015, unfit=0.0) == pytest.approx(odds("ide_cel"), rel=1e-5)


def test_deprivation_acts_on_the_way_and_on_other_deaths_and_never_on_the_tumour():
    moved = {p.name for p in MODEL.parameters if any(e.covariate == "deprivation" for e in p.covariates)}
    assert moved == {"not_infused_ide_cel", "not_infused_cilta_cel", "h_background", "h_infection"}
    assert np.count_nonzero(covariate_terms(MODEL, {"deprivation": 5.0})) >= len(moved)


@pytest.mark.parametrize("product, vein_to_vein", [("ide_cel", 49.0), ("cilta_cel", 44.0)])
@pytest.mark.parametrize("deprivation, first", [(None, 14.0), (3, 14.0), (5, 20.0), (1, 8.0)])
def test_the_way_from_referral(product, vein_to_vein, deprivation, first):
    known = SUITABLE if deprivation is None else SUITABLE | {"deprivation": deprivation}
    plan = make_plans(MODEL, PatientRecord("A", covariates=known), [product], 10.0)[0]
    assert (plan.leukapheresis, plan.start) == (10.0 + first, 10.0 + first + vein_to_vein)
    assert plan.otherwise.name == "standard_care" and plan.otherwise.start == plan.start
    assert plan.waits == pytest.approx((first + vein_to_vein) / vein_to_vein)


def test_bridging_goes_on_in_those_who_are_never_infused_only_where_it_is_what_they_would_get():
    for name, starts in (("standard_care", [2.0]), ("dara_pd", [2.0, 68.0])):  # goes on, or is changed to
        record = PatientRecord("B", covariates=SUITABLE, events=(ClinicalEvent("line_of_therapy", 2.0, 2.0, name),))
        otherwise = make_plans(MODEL, record, ["cilta_cel"], 10.0)[0].otherwise
        assert (otherwise.name, otherwise.role, otherwise.new) == ("standard_care", "otherwise", True)
        assert [e.time for e in otherwise.record.events] == starts and otherwise.start == 68.0
    taken = replace(record, events=(*record.events, ClinicalEvent("leukapheresis", 5.0, 5.0)))
    plan = make_plans(MODEL, taken, ["cilta_cel"], 10.0)[0]
    assert (plan.leukapheresis, plan.start, plan.waits) == (None, 49.0, pytest.approx(39 / 44))
