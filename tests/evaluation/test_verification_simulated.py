"""Simulated patients against a reference: a sound twin misses no target, one that was tampered with does."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bayestwin.errors import ModelError
from bayestwin.evaluation.verification import Proof, simulated_patient, verify_simulated
from bayestwin.evaluation.verification.simulated import _planned, visit_times
from bayestwin.evaluation.verification.simulated_proof import kinds_of
from bayestwin.individual import compile_record
from bayestwin.population import load_population, prior_population
from bayestwin.specification import load_model, models_folder
from bayestwin.twin import update

FOLDERS = sorted(p.parent.name for p in models_folder().glob("*/model.py"))
SIZES = {"particles": 400, "islands": 8, "population_draws": 50, "reference_particles": 3200}


@pytest.fixture(scope="module")
def prior(population):
    """50 draws of the level model's own priors."""
    return prior_population(population.model, draws=50, random_seed=1)


def simulate(prior, number, visits=3):
    return simulated_patient(prior, number, random_seed=2, population_draws=50, visits=visits)


def proof_of(prior, patients, seed=0):
    rows = [
        line
        for k in range(1, patients + 1)
        for line in verify_simulated(prior, simulate(prior, k), random_seed=seed + k, **SIZES)
    ]
    return Proof(pd.DataFrame(rows), SIZES["particles"])


@pytest.fixture(scope="module")
def sound(prior):
    return proof_of(prior, 4)


def test_a_sound_twin_misses_no_target(sound):
    assert sound.missed == (), sound.summary
    table = sound.summary.set_index("measure")
    assert table.loc["largest |z|", "value"] < 4.5
    assert table.loc["numerical check passed", "value"] >= 0.5
    assert "The reference had 3200 particles, fewer than 100000" in sound.sentence
    assert "of 4 simulated patients" in sound.sentence and "No target is missed" in sound.sentence


def test_rows_name_parameters_classes_and_forecasts(sound):
    named = sound.rows.groupby("kind")["quantity"].unique()
    assert {"level", "effect"} <= set(named["parameter"]) and set(named["class"]) == {"P(no response to drug)"}
    assert all(name.startswith("m_protein at ") for name in named["forecast"])
    assert (sound.rows["reference_particles"] >= 3200).all() and (sound.rows["freedom"] >= 7).all()
    ends = sound.rows.loc[(sound.rows["kind"] == "parameter") & (sound.rows["statistic"] == "mean"), "low_end_off"]
    assert ends.between(0, 0.5).all()


def test_a_twin_whose_weights_were_tampered_with_misses_them(prior, monkeypatch):
    whole = update._forward

    def shifted(*asked):
        twin, info = whole(*asked)
        weights = np.asarray(twin.particles.log_weights) + 0.5 * np.asarray(twin.particles.psi[:, 0])
        particles = twin.particles._replace(log_weights=update.normalised(weights, twin.islands))
        return replace(twin, particles=particles), info

    monkeypatch.setattr("bayestwin.twin.update._forward", shifted)
    found = proof_of(prior, 2)
    assert "largest |z|" in found.missed and "NOT PROVED" in found.sentence


def test_an_error_that_is_printed_too_small_is_told(sound):
    whole = pd.concat([sound.rows.assign(patient=sound.rows["patient"] + f" {k}") for k in range(15)])
    rows = whole.assign(z=3.0 * whole["z"], p=0.01 * whole["p"])
    found = Proof(rows, SIZES["particles"]).summary.set_index("measure")["status"]
    assert found["mean square of z, means"] == "MISSED" and found["90 % Monte Carlo intervals cover"] == "MISSED"


def test_what_a_rare_tail_carries_is_left_out_and_counted_whatever_its_difference(sound):
    """A wrong mean that can be known stays; one that no particle reaches goes, wrong or not."""
    rows = sound.rows
    first = rows.index[(rows["statistic"] == "mean") & rows["mean_unseen"].notna()][0]

    def proof(z, error):
        own = rows.index == first
        return Proof(
            rows.assign(z=rows["z"].mask(own, z), mean_unseen=rows["mean_unseen"].mask(own, error)),
            SIZES["particles"],
        )

    told, found, equal = proof(-7.2, 0.4), proof(-7.2, 0.6), proof(0.0, 0.6)
    assert "largest |z|" in told.missed and "means were left out" not in told.sentence
    assert "largest |z|" not in found.missed and "1 means were left out: a rare tail carries them" in found.sentence
    assert len(told.judged) - len(found.judged) == 1 and len(equal.judged) == len(found.judged)


def test_few_patients_leave_a_target_open_and_two_hundred_decide():
    def made(patients, share):
        rng = np.random.default_rng(1)
        off = np.where(rng.permutation(patients) < share * patients, 1.0, 0.0)
        common = {"verdict": "PASS", "reference_verdict": "PASS", "kind": "parameter", "statistic": "mean"}
        common |= {"z": 1.0, "p": 0.32, "low_end_off": 0.0, "high_end_off": 0.0, "reference_particles": 100_000}
        return Proof(pd.DataFrame([common | {"patient": k, "difference_in_sd": x} for k, x in enumerate(off)]), 16_000)

    def status(proof):
        return proof.summary.set_index("measure").loc["means within 0.1 SD", "status"]

    assert [status(made(n, s)) for n, s in ((20, 0.0), (20, 0.1), (20, 0.9), (200, 0.1))] == [
        "met",
        "open",
        "MISSED",
        "MISSED",
    ]


def test_withheld_patients_are_counted_and_left_out(sound):
    rows = sound.rows.assign(reference_verdict="PASS")
    rows["verdict"] = np.where(rows["patient"] == "SIM-0001", "WITHHELD", "PASS")
    found = Proof(rows, SIZES["particles"])
    assert found.usable["patient"].nunique() == 3 and "3 of 4" in found.sentence
    nobody = Proof(sound.rows.assign(verdict="WITHHELD"), SIZES["particles"])
    assert nobody.missed == ("numerical check passed",)


def test_the_same_number_gives_the_same_patient(prior):
    one, again, other = simulate(prior, 1), simulate(prior, 1), simulate(prior, 2)
    assert one == again and one.key == "SIM-0001"
    assert [lab.value for lab in one.labs] != [lab.value for lab in other.labs]


def test_patients_that_no_reader_would_accept_are_not_simulated(prior):
    narrow = replace(prior.model.observations[0], plausible=(1e6, 1e7), positive=True)
    impossible = replace(prior, model=replace(prior.model, observations=(narrow,), source_hash=""))
    with pytest.raises(ModelError, match="model level: simulated labs lie outside the plausible ranges.*--population"):
        simulate(impossible, 1)


def test_a_drug_that_is_a_part_of_other_models_has_no_updates_to_prove():
    part = prior_population(load_model("dexamethasone"), draws=50, random_seed=1)
    with pytest.raises(ModelError, match="model dexamethasone: the model measures nothing.*part"):
        simulate(part, 1)


def test_visits_lie_denser_at_the_beginning():
    times = visit_times(8, 365.0)
    assert times[0] == pytest.approx(3.65) and times[-1] == 365.0 and (np.diff(times, 2) > 0).all()


def measured(name):
    """A model of a folder; skips the drugs that are parts of other models and have no labs."""
    model = load_model(name)
    if not model.observations:
        pytest.skip(f"{name} measures nothing")
    return model


@pytest.mark.parametrize("name", FOLDERS)
def test_patients_of_every_model_folder_take_turns_with_its_treatments(name):
    model = measured(name)
    records = [_planned(model, number, 8) for number in range(2 * max(len(model.treatments), 1))]
    told = {o.output for o in model.observations if not o.derived_from}  # nothing is learnt from the others
    assert all(len(r.labs) == 8 * len(told) and r.labs[0].time > 0 for r in records)
    assert {lab.output for r in records for lab in r.labs} == told
    for r in records:  # a lab's prediction stands in the row of that lab
        compiled = compile_record(model, r)
        own = [model.observation_index[lab.output] for lab in r.labs]
        assert list(compiled.output[: len(own)]) == own and compiled.mask[: len(own)].all()
    started = {e.value for r in records for e in r.events}
    assert started == {t.name for t in model.treatments if t.starts_with != "dose"}
    dosed = any(t.starts_with == "dose" for t in model.treatments)
    assert all(bool(r.doses) == dosed for r in records)
    drifting = {step for drift in model.drift for step in drift.names}
    for r in records:
        spoken = set(kinds_of(model, r))
        assert spoken and spoken <= set(model.individual_names)
        assert spoken & drifting == {s for d in model.drift for k, s in enumerate(d.names) if (k + 1) * d.every < 365}


def test_patients_of_the_shipped_myeloma_population_can_be_simulated():
    shipped = load_population(models_folder() / "myeloma_car_t" / "population.nc")
    record = simulated_patient(shipped, 2, random_seed=1, population_draws=400, visits=8)
    shares = [lab.value for lab in record.labs if lab.output == "marrow_plasma_cells"]
    assert len(shares) == 8 and max(shares) <= 100


def test_draws_of_the_prior_have_the_prior_s_medians_and_say_what_they_are():
    model = load_model("theophylline")
    drawn = prior_population(model, draws=4000, random_seed=1)
    assert float(np.median(drawn.posterior["CL_pop"])) == pytest.approx(2.8, rel=0.05)
    assert float(np.log(drawn.posterior["CL_pop"]).std()) == pytest.approx(0.5, rel=0.05)
    lower = drawn.posterior["correlation_cholesky"].values
    np.testing.assert_allclose((lower @ np.swapaxes(lower, -1, -2))[0, :5].diagonal(axis1=1, axis2=2), 1.0)
    assert drawn.attributes["method"] == "prior"


@pytest.mark.validate
@pytest.mark.parametrize("name", FOLDERS)
def test_simulated_patients_of_every_model_folder_are_followed_and_compared(name):
    prior = prior_population(measured(name), draws=100, random_seed=1)
    record = simulated_patient(prior, 1, random_seed=1, population_draws=100, visits=3)
    sizes = {"particles": 800, "islands": 8, "population_draws": 100, "reference_particles": 1600}
    rows = pd.DataFrame(verify_simulated(prior, record, random_seed=1, **sizes))
    assert np.isfinite(rows[["twin", "reference", "z"]]).all().all()
