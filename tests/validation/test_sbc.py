"""Simulation-based calibration of the population fit: the fit passes, and one that is wrong on purpose does not.

    pytest -m validate tests/validation/test_sbc.py

A level with labs of which a third lie below the limit, 8 patients, 100 data sets in one program: a minute of CPU for
each of the four studies. The large studies are run by tests/validation/sbc.py.
"""

from dataclasses import replace

import pytest

from bayestwin.evaluation.verification.fit_calibration import calibrate_fit
from bayestwin.population import alike, program
from bayestwin.population.alike import How
from bayestwin.records import Cohort, Lab, PatientRecord
from bayestwin.specification import load_model

pytestmark = pytest.mark.validate

LEVEL = '''
"""A level that stays where it is, often below the limit of its assay."""
from bayestwin.specification import *

def initial_state(p):
    return {"one": 1.0}

def vector_field(t, y, p, u):
    return {"one": 0.0 * y.one}

model = Model(
    name="limited", time_unit="day", states=("one",), initial_state=initial_state, vector_field=vector_field,
    steps=Steps(first=1000.0, growth=1.0, largest=1000.0),
    parameters=(
        Parameter("level", unit="g/L", scale="identity", typical=Normal(mean=20.0, sd=1.0),
                  between=LogNormal(median=1.5, sd_log=0.3)),
    ),
    outputs={"m_protein": lambda t, y, p, u: p.level * y.one},
    observations=(Observation("m_protein", unit="g/L", error=Additive(sd=LogNormal(median=1.0, sd_log=0.3)),
                              plausible=(-100.0, 100.0), positive=False, lower_limit=19.5),),
)
'''
HOW = How(chains=1, warmup=100, draws=160, centred=True, max_tree_depth=5)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """How a study of 100 data sets is made: told -> FitCalibration."""
    folder = tmp_path_factory.mktemp("models") / "limited"
    folder.mkdir()
    (folder / "model.py").write_text(LEVEL, encoding="utf-8")
    labs = tuple(Lab(f"m{t}", "m_protein", t, 20.0, t) for t in (1.0, 2.0, 3.0))
    design = Cohort(tuple(PatientRecord(f"P-{n}", labs=labs) for n in range(8)))

    def run(told=lambda cohort: cohort, data_sets=100):
        parts = {"data_sets": data_sets, "batch": 100, "random_seed": 1, "how": HOW, "told": told}
        return calibrate_fit(load_model(folder), design, folder=tmp_path_factory.mktemp("study"), **parts)

    return run


def changed(cohort, change):
    return Cohort(tuple(record.with_labs([change(lab) for lab in record.labs]) for record in cohort))


def test_the_fit_is_calibrated(study):
    found = study()
    assert not found.miscalibrated, found.sentence


def test_a_fit_that_is_told_too_high_values_is_not(study):
    found = study(
        lambda cohort: changed(
            cohort, lambda lab: replace(lab, value=lab.value + 1.0, limit=lab.limit and lab.limit + 1.0)
        )
    )
    assert "level_pop" in found.miscalibrated, found.sentence


def test_a_fit_that_takes_values_at_the_limit_as_measured_is_not(study):
    found = study(lambda cohort: changed(cohort, lambda lab: replace(lab, censoring="none", limit=None)))
    assert found.miscalibrated, found.sentence


def test_a_fit_that_counts_every_lab_four_times_is_not(study, monkeypatch):
    right = program.total_log_likelihood
    monkeypatch.setattr(program, "total_log_likelihood", lambda pieces: 4.0 * right(pieces))
    alike._runner.cache_clear()
    found = study()
    alike._runner.cache_clear()
    assert found.miscalibrated, found.sentence
