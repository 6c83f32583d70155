"""Ready-made drugs: each gives back a figure that was published beside its parameters or in its label."""

import numpy as np
import pytest
from scipy.stats import norm, qmc

from bayestwin.dosing import DoseEvent
from bayestwin.individual.simulate import simulate_outputs
from bayestwin.specification import load_model


def typical(model, **covariates):
    """Typical values of a patient with these covariates."""
    values = {}
    for p in model.parameters:
        at = next(getattr(p.typical, name) for name in ("median", "value", "mean") if hasattr(p.typical, name))
        for effect in p.covariates:
            if hasattr(effect, "level"):
                at *= np.exp(effect.shift.mean) if covariates.get(effect.covariate) == effect.level else 1.0
            else:
                at *= (covariates.get(effect.covariate, effect.reference) / effect.reference) ** effect.exponent.mean
        values[p.name] = at
    return values


def doses(model, weight_kg, treatment=None):
    """The doses of a treatment of the model, its first where none is named."""
    regimen = (model.treatment(treatment) if treatment else model.treatments[0]).regimen
    return regimen.events(start=0.0, time_unit="day", dose_unit="mg", covariates={"weight_kg": weight_kg})


def course(model, values, given, times):
    """Outputs at `times`, before the doses of that time, (N, K)."""
    return simulate_outputs(model, values, given, [(float(t), False) for t in times])


def half_life(times, values):
    return -np.log(2) / np.polyfit(times, np.log(values), 1)[0]


def test_daratumumab_reaches_the_concentrations_seen_in_its_trial():
    """Xu 2020, table 2, medians in mg/L: 319.2 after the first infusion, 688.9 after cycle 2's, 523.0 before cycle 4.

    The trial's patients: 46 % women, median 70 to 80 kg; 55 % IgG as in other trials.
    """
    model = load_model("daratumumab")
    given = [
        DoseEvent(d.time, d.amount, d.target, duration=7 / 24 if d.time == 0 else d.duration)
        for d in doses(model, 75.0)
    ]
    found = 0.0
    for sex, women in (("female", 0.46), ("male", 0.54)):
        for isotype, share in (("IgG", 0.55), ("IgA", 0.45)):
            values = typical(model, weight_kg=75.0, sex=sex, isotype=isotype)
            found += women * share * course(model, values, given, (7 / 24, 28 + 3.4 / 24, 84.0))[:, 0]
    np.testing.assert_allclose(found, [319.2, 688.9, 523.0], rtol=0.1)


def test_the_saturable_elimination_of_daratumumab_halves_in_22_days():
    """0.0013 per hour: Xu 2020. A rate per hour that is taken for one per day gives 533."""
    assert np.log(2) / typical(load_model("daratumumab"))["kdes"] == pytest.approx(22.2, rel=0.01)


def test_isatuximab_is_lost_with_a_half_life_of_28_days_once_its_target_is_gone():
    """28 days by its label, from the linear part of the published parameters; exposure 3.1-fold the first week's."""
    model = load_model("isatuximab")
    # the paper's reference patient: IgG, material of the early trials
    values = typical(model, isotype="IgG") | {"Vc": 5.13, "Vm": 1e-9, "t50": 1e-3}
    last = [DoseEvent(0.0, 756.0, "iv")]
    times = np.arange(60.0, 121.0, 10.0)
    assert half_life(times, course(model, values, last, times)[:, 0]) == pytest.approx(28.0, rel=0.03)


def test_isatuximab_s_clearance_falls_by_half_and_peaks_where_its_label_says():
    """Fau 2020: a fall by 48 %. US label: predicted peak in steady state 351 mg/L, CV 36 %."""
    model, mixture = load_model("isatuximab"), 0.0
    assert 1 - np.exp(-typical(model)["CL_fall"]) == pytest.approx(0.48, abs=0.01)
    for isotype, share in (("IgG", 0.55), ("IgA", 0.45)):
        values = typical(model, isotype=isotype, weight_kg=75.6)
        mixture += share * course(model, values, doses(model, 75.6), (140 + 1.5 / 24,))[0, 0]
    assert mixture == pytest.approx(351.0, rel=0.1)


def test_teclistamab_accumulates_and_peaks_as_in_its_trial():
    """Miao 2023, results 3.4 and 3.5, from the first to the thirteenth weekly dose: 4.2-fold in the peak, 4.1-fold in
    the trough, 5.3-fold in the area (means); median peaks 139 and 72 h after the dose.

    The trial's patients: 51 % IgG; 49, 33 and 18 % in ISS stage 1, 2 and 3; varying as published. They are spread
    evenly (Sobol): of patients drawn at random the means of 100 have a standard error of 5 %.
    """
    model, ratios, peaks = load_model("teclistamab"), [], []
    given = doses(model, 74.0)[:15]
    times = np.concatenate([np.arange(7.0, 14.01, 0.25), np.arange(91.0, 98.01, 0.25)])
    varying = [p for p in model.parameters if p.between is not None]
    for isotype, stage, *z in qmc.Sobol(2 + len(varying), seed=1).random(128):
        stage = "1" if stage < 0.49 else "2" if stage < 0.82 else "3"
        values = typical(model, isotype="IgG" if isotype < 0.51 else "IgA", iss_stage=stage)
        for p, share in zip(varying, z):
            values[p.name] *= np.exp(p.between.median * norm.ppf(share))
        first, last = np.split(course(model, values, given, times)[:, 0], 2)
        ratios.append([last.max() / first.max(), last[-1] / first[-1], last.sum() / first.sum()])
        peaks.append([6.0 * first.argmax(), 6.0 * last.argmax()])
    np.testing.assert_allclose(np.mean(ratios, axis=0), [4.2, 4.1, 5.3], rtol=0.1)  # of 4,000: 3.9, 3.8, 5.0
    np.testing.assert_allclose(np.median(peaks, axis=0), [139.0, 72.0], rtol=0.1)


def test_the_published_share_of_teclistamab_s_clearance_wanes():
    """About 43 % of the clearance at the start of treatment: Miao 2023, results 3.4; mean of its mix of patients."""
    model, rng, found = load_model("teclistamab"), np.random.default_rng(2), 0.0
    spread = {p.name: p.between.median for p in model.parameters if p.between is not None}
    z = rng.normal(size=(2, 10_000))
    for isotype, of_all in (("IgG", 0.51), ("IgA", 0.49)):
        for stage, of_these in (("1", 0.49), ("2", 0.33), ("3", 0.18)):
            values = typical(model, isotype=isotype, iss_stage=stage)
            CL1, CL2 = (values[name] * np.exp(spread[name] * z[k]) for k, name in enumerate(("CL1", "CL2")))
            found += of_all * of_these * (CL2 / (CL1 + CL2)).mean()
    assert found == pytest.approx(0.43, abs=0.02)


def test_elranatamab_has_a_half_life_of_22_days_and_mostly_free_drug():
    """Hibma 2026, discussion: 22 days at 76 mg (total drug), rates 0.068 and 0.043 per day of free drug and complex."""
    model = load_model("elranatamab")
    values = typical(model)
    given = [d for d in doses(model, 71.45) if d.time < 170.0]
    after = np.arange(60.0, 121.0, 10.0)
    found = course(model, values, given, [168.0, *(168.0 + after)])
    assert half_life(after, found[1:, 1]) == pytest.approx(22.0, rel=0.02)
    assert values["CL"] / values["Vc"] == pytest.approx(0.068, abs=5e-4)
    assert values["CLx"] / values["Vx"] == pytest.approx(0.043, abs=5e-4)
    assert found[0, 0] / found[0, 1] > 0.85


def test_little_elranatamab_is_free_in_the_share_that_its_target_leaves():
    """Far below the target Kd / (Kd + S0) of it is free; without drug soluble BCMA stays where it was."""
    model = load_model("elranatamab")
    values = typical(model)
    tiny, none = (course(model, values, [DoseEvent(0.0, dose, "iv")], (0.01, 50.0)) for dose in (1e-6, 0.0))
    assert tiny[0, 0] / tiny[0, 1] == pytest.approx(values["Kd"] / (values["Kd"] + values["S0"]), rel=1e-4)
    np.testing.assert_allclose(none[:, 2:], values["S0"], rtol=1e-8)


@pytest.mark.parametrize(
    ("treatment", "area", "peak", "trough"), [("8_mg_per_kg", 35_000, 183, 9.74), ("4_mg_per_kg", 13_000, 88.3, 1.49)]
)
def test_tocilizumab_has_the_exposure_of_its_label(treatment, area, peak, trough):
    """US label, rheumatoid arthritis, steady state every four weeks, means: area in mg h/L, peak and trough in mg/L.

    The trials' patients: 82 % women, 70 kg. Typical patients' values lie below means, troughs most of all.
    """
    model = load_model("tocilizumab")
    times = np.concatenate([[336.0 + 1 / 24], np.arange(336.25, 364.01, 0.25)])
    women, men = (
        course(model, typical(model, sex=sex), doses(model, 70.0, treatment), times)[:, 0] for sex in ("female", "male")
    )
    found = 0.82 * women + 0.18 * men
    assert 24.0 * np.trapezoid(found, times) == pytest.approx(area, rel=0.06)
    assert found.max() == pytest.approx(peak, rel=0.1)
    assert trough / 2 < found[-1] < 1.1 * trough
