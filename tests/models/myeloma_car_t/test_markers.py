"""Labs beside M-protein against their closed forms, the response category against its thresholds, and what may act."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.individual import Hyper, class_log_probability, compile_record, informative_labs
from bayestwin.individual.discrete import probabilities
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification import Category, load_model
from bayestwin.specification.load import model_part
from bayestwin.twin.compare import difference

MODEL = load_model("myeloma_car_t")
CATEGORY = model_part(MODEL, "category")
NADIR_UNIT = model_part(MODEL, "mechanism").NADIR_UNIT
SHARES = {(c.covariate, v): s for c in MODEL.covariate_distributions for v, s in zip(c.levels, c.shares)}


class Doing:
    """u of one treatment on day 0, of nothing where it has no name."""

    def __init__(self, name="", t=0.0):
        self.name, self.t = name, t

    def on(self, x):
        return float(x == self.name)

    def since(self, x):
        return self.t if x == self.name else -1e9


def middle(prior):
    return next(getattr(prior, name) for name in ("median", "mean", "value") if hasattr(prior, name))


def patient(**changed):
    return SimpleNamespace(**{p.name: middle(p.typical) for p in MODEL.parameters} | changed)


def state(burden=1.0, protein=18.0, normal=0.5, reference=18.0, nadir=18.0):
    half = np.log(burden / 2.0)
    return SimpleNamespace(
        ln_sensitive=half,
        ln_resistant=half,
        m_protein=protein,
        normal_cells=normal,
        ln_reference=np.log(reference),
        nadir=np.log(nadir) / NADIR_UNIT,
        line=0.0,
    )


def output(name, y=None, p=None, u=None, t=0.0):
    return float(MODEL.outputs[name](t, y or state(), p or patient(), u or Doing()))


# algebraic labs --------------------------------------------------------------------------------------------------


def test_immunofixation_is_positive_in_half_at_its_limit_and_in_nearly_all_at_three_times_it():
    p = patient()
    odds = [output("ife_serum", state(protein=x * p.IFE_limit), p) for x in (1.0, 3.0, 1 / 3)]
    assert odds[0] == pytest.approx(0.0, abs=1e-9)
    assert odds[1] == -odds[2] == pytest.approx(3.0 * np.log(3.0))


def test_an_antibody_shows_a_band_of_its_own_in_immunofixation_and_only_while_it_is_given():
    clear = state(protein=0.01)
    assert output("ife_serum", clear, u=Doing("dara_pd", 50.0)) > 3.0
    assert output("ife_serum", clear, u=Doing("teclistamab", 50.0)) == output("ife_serum", clear) < -3.0


def test_total_immunoglobulins_are_the_normal_ones_and_the_m_protein_of_their_own_class():
    y, igg, iga = state(protein=30.0, normal=0.4), patient(), patient(is_igg=0.0, is_iga=1.0)
    assert output("igg", y, igg) == pytest.approx(11.0 * 0.4 + 30.0)
    assert output("iga", y, igg) == pytest.approx(2.0 * 0.4) and output("igm", y, igg) == pytest.approx(1.0 * 0.4)
    assert output("iga", y, iga) == pytest.approx(2.0 * 0.4 + 30.0) and output("igg", y, iga) == pytest.approx(4.4)


@pytest.mark.parametrize("name, share", [("ldh", "LDH"), ("b2m", "B2M")])
def test_ldh_and_b2m_follow_the_burden_with_their_share(name, share):
    p = patient(g=0.0075)
    level, s = getattr(p, f"{share}_level"), getattr(p, f"{share}_share")
    assert output(name, state(1.0), p) == pytest.approx(level)
    assert output(name, state(3.0), p) == pytest.approx(level * (1.0 + 2.0 * s))


def test_soluble_bcma_and_marrow_follow_the_burden():
    p = patient()
    assert output("sbcma", state(0.1), p) == pytest.approx(p.sBCMA_floor + 0.1 * p.sBCMA_level)
    odds = p.marrow_share / (1 - p.marrow_share)
    assert output("marrow_plasma_cells", state(0.1), p) == pytest.approx(100 * 0.1 * odds / (1 + 0.1 * odds))
    assert output("deauville", state(1.0), p) - output("deauville", state(0.1), p) == pytest.approx(
        p.PET_slope * np.log(10.0)
    )
    assert output("uninvolved_flc", state(normal=0.3), p) == pytest.approx(0.3 * p.uninvolved_level)


def test_ferritin_and_crp_peak_with_cytokine_release_eight_days_after_the_cells_and_come_back():
    p, days = patient(), np.linspace(0.0, 120.0, 481)
    for name, level, release in (
        ("ferritin", "ferritin_level", "ferritin_release"),
        ("crp", "CRP_level", "CRP_release"),
    ):
        course = np.array([output(name, p=p, u=Doing("cilta_cel", t)) for t in days[::4]])
        assert days[::4][course.argmax()] == pytest.approx(8.0, abs=1.0)
        assert course.max() == pytest.approx(getattr(p, level) * (1.0 + getattr(p, release)), rel=1e-3)
        assert course[-1] == pytest.approx(getattr(p, level), rel=1e-3) == output(name, p=p)


def test_lymphocytes_are_depleted_at_infusion_and_carry_the_cells_and_their_bystanders():
    p = patient()
    assert output("alc", p=p) == pytest.approx(p.ALC_level)
    assert output("alc", p=p, u=Doing("cilta_cel", 0.0)) == pytest.approx(0.1 * p.ALC_level, rel=0.05)
    peak = Doing("cilta_cel", p.Tmax)
    recovered = 1.0 - 0.9 * np.exp(-p.Tmax / p.ALC_recovery)
    expected = p.ALC_level * recovered + p.ALC_bystanders * output("car_t_cells", p=p, u=peak) / 1000.0
    assert output("alc", p=p, u=peak) == pytest.approx(expected)


def test_flow_and_copies_of_one_product_differ_by_the_conversion_of_that_product():
    # 6.6 pg a diploid genome: 42,500 copies/ug at 3000 white cells per uL and two copies a cell are 420 CAR+ cells/uL
    p, u = patient(), Doing("cilta_cel", 20.0)
    ratio = output("car_t_cells", p=p, u=u) / output("transgene", p=p, u=u)
    assert ratio == pytest.approx(6.6e-6 * 3000 / 2, rel=1e-6)
    assert 42_500 * ratio == pytest.approx(420.0, rel=0.01)


# response category -----------------------------------------------------------------------------------------------


def chances(y, p=None):
    """Category -> chance."""
    k, p = MODEL.observation_index["response_category"], p or patient()
    sigma = np.array([middle(prior) for prior in MODEL.residual_parameters.values()])
    found = probabilities(MODEL, k, output("response_category", y, p), sigma)
    return dict(zip(CATEGORY.NAMES, found))


@pytest.mark.parametrize(
    "protein, lower, higher", [(0.17, "CR", "VGPR"), (3.0, "VGPR", "PR"), (15.0, "PR", "MR"), (22.5, "MR", "SD")]
)
def test_at_a_threshold_of_the_imwg_both_categories_beside_it_are_equally_likely(protein, lower, higher):
    at = chances(state(protein=protein, reference=30.0, nadir=min(protein, 30.0)))
    assert at[lower] == pytest.approx(at[higher], abs=0.08) and at[lower] + at[higher] > 0.8


@pytest.mark.parametrize(
    "protein, nadir, expected",
    [(0.03, 0.03, "CR"), (1.2, 1.2, "VGPR"), (7.0, 7.0, "PR"), (18.4, 18.4, "MR"), (28.0, 28.0, "SD"),
     (9.0, 1.0, "PD"), (40.0, 28.0, "PD"), (4.0, 0.5, "PR"), (0.9, 0.9, "VGPR")],
)  # fmt: skip
def test_inside_a_category_it_is_the_likeliest(protein, nadir, expected):
    found = chances(state(protein=protein, reference=30.0, nadir=nadir))
    assert max(found, key=found.get) == expected and sum(found.values()) == pytest.approx(1.0)


def test_from_a_nadir_of_50_on_a_rise_by_10_is_progression():
    def of(protein, nadir):
        found = chances(state(protein=protein, reference=80.0, nadir=nadir))
        return max(found, key=found.get)

    assert [of(73.0, 60.0), of(67.0, 60.0)] == ["PD", "SD"]  # a quarter over 60 would be 75
    assert [of(61.0, 49.0), of(64.0, 49.0)] == ["SD", "PD"]  # under 50 a quarter it is
    p = patient(light_chain=1.0, FLC_floor=8.0, FLC0=992.0)
    rising = chances(state(0.65, nadir=600.0, reference=1000.0, protein=0.2), p)
    assert max(rising, key=rising.get) != "PD"  # chains of 653 over 600 mg/L: no rule of 10


def test_light_chain_disease_is_graded_by_the_chain():
    p, far = patient(light_chain=1.0, FLC_floor=8.0, FLC0=992.0), {"reference": 1000.0, "protein": 0.2}
    found = {
        burden: chances(state(burden, nadir=max(1000.0 * burden, 9.0), **far), p) for burden in (1e-4, 0.03, 0.3, 1.0)
    }
    assert [max(c, key=c.get) for c in found.values()] == ["CR", "VGPR", "PR", "SD"]
    worse = chances(state(0.3, nadir=30.0, **far), p)
    assert max(worse, key=worse.get) == "PD"


def test_more_marker_is_never_a_better_category():
    values = np.geomspace(0.01, 100.0, 300)
    severity = [output("response_category", state(protein=x, reference=20.0, nadir=0.4)) for x in values]
    assert (np.diff(severity) >= -1e-9).all()


# a category read from labs that are used already ------------------------------------------------------------------

BIRTH = (
    Lab("m0", "m_protein", 0.0, 20.0, 0.0),
    Lab("m1", "m_protein", 100.0, 1.5, 101.0),
)
VGPR = Lab("c1", "response_category", 105.0, 1.0, 130.0)
START = (ClinicalEvent("line_of_therapy", 1.0, 1.0, "teclistamab"),)


def test_a_category_read_from_labs_that_are_used_leaves_the_likelihood_as_it_is():
    plain, told = (PatientRecord("P-1", labs=labs, events=START) for labs in (BIRTH, (*BIRTH, VGPR)))
    one, two = compile_record(MODEL, plain), compile_record(MODEL, told)
    for name in ("value", "output", "mask", "index", "censoring"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert informative_labs(MODEL, told) == list(plain.labs)


def test_a_category_without_labs_near_it_is_learnt():
    alone = PatientRecord("P-1", labs=(BIRTH[0], VGPR), events=START)
    data = compile_record(MODEL, alone)
    assert data.mask.sum() == 2 and MODEL.observation_index["response_category"] in data.output[:2]


def test_when_the_labs_of_a_category_become_known_later_the_twin_starts_anew():
    before = PatientRecord("P-1", labs=(BIRTH[0], VGPR), events=START)
    after = PatientRecord("P-1", labs=(*BIRTH, VGPR), events=START)
    twin = SimpleNamespace(model=MODEL, time=105.0, record=before, applied=True)
    change = difference(twin, after)
    assert change.taken_away and "response_category at 105 was derived from labs that are now known" in change.why


# what may act on what --------------------------------------------------------------------------------------------


def test_a_fitter_patient_expands_more_and_fails_less_where_the_slopes_say_so():
    p = patient(fitness_on_expansion=0.4, fitness_on_persistence=0.0)
    peak = [
        output("transgene", p=SimpleNamespace(**vars(p) | {"fitness": z}), u=Doing("ide_cel", p.Tmax)) for z in (0, 1)
    ]
    assert peak[1] / peak[0] == pytest.approx(np.exp(0.4))
    typical = jnp.array([transformed(q) for q in MODEL.parameters])
    slope, z = MODEL.parameter_names.index("fitness_on_nonresponse"), MODEL.individual_names.index("fitness")
    hyper = Hyper(
        typical.at[slope].set(-0.5), jnp.zeros(len(MODEL.effects)), jnp.zeros(()), jnp.zeros(()), jnp.zeros(())
    )
    rows, terms = jnp.eye(len(MODEL.response_classes)), jnp.zeros(len(MODEL.effects))

    @jax.jit
    def chances_of(fits):
        def one(fit, row):
            psi = jnp.zeros(len(MODEL.individual_names)).at[z].set(fit)
            return jnp.exp(class_log_probability(MODEL, psi, hyper, terms, row, row, 0.0))

        return jax.vmap(lambda fit: jax.vmap(lambda row: one(fit, row))(rows))(fits)

    chance = np.asarray(chances_of(jnp.array([0.0, 1.0])))
    odds = np.log(chance / (1.0 - chance))
    t_cells = [MODEL.treatment(c.treatment).group in ("BCMA CAR-T", "bispecific") for c in MODEL.response_classes]
    assert sum(t_cells) == 6  # two products of cells, four bispecifics; other drugs need no fit T cells
    np.testing.assert_allclose(odds[1] - odds[0], np.where(t_cells, -0.5, 0.0), atol=1e-4)


@pytest.mark.parametrize("name", ["ferritin", "crp"])
def test_ferritin_and_crp_are_lower_in_a_fit_patient_by_their_loading(name):
    p = patient(**{f"loading_{name}": 0.4})
    fit, unfit = (SimpleNamespace(**vars(p) | {"fitness": z}) for z in (1.0, -1.0))
    assert output(name, p=unfit) / output(name, p=fit) == pytest.approx(np.exp(0.8))
    peak = Doing("ide_cel", 8.0)  # of release, which follows expansion: it says nothing of fitness
    assert output(name, p=unfit, u=peak) == pytest.approx(output(name, p=fit, u=peak))


def test_a_high_ferritin_before_the_cells_makes_non_response_likelier():
    """Weights of prior draws by one ferritin of 3,000 ug/L, as an update weighs them."""
    rng, count = np.random.default_rng(1), 40_000
    z, level = rng.standard_normal((2, count))
    loading = 0.3 * np.exp(0.5 * rng.standard_normal(count))
    slope = -0.2 + 0.2 * rng.standard_normal(count)
    median = np.array([output("ferritin", p=patient(loading_ferritin=0.3, fitness=x)) for x in (0.0, 1.0)])
    assert median[1] / median[0] == pytest.approx(np.exp(-0.3))  # what the next line writes out
    ln = np.log(median[0]) - loading * z + level
    weight = np.exp(-0.5 * ((np.log(3000.0) - ln) / 0.5) ** 2)
    moved = np.average(slope * z, weights=weight)
    assert 0.05 < moved < 0.2  # log-odds of non-response: noticeable, and small


def test_exposure_to_fludarabine_acts_about_that_of_the_usual_doses():
    (effect,) = [e for _, _, e in MODEL.effects if e.covariate == "fludarabine_auc"]
    clearance = 3.2 + 0.78 * 80 * 0.06  # L/h of F-ara-A, Langenhorst 2019, eGFR 80 mL/min/1.73
    dose = 3 * 30 * 1.9 * 285.2 / 365.2  # mg: fludarabine phosphate 30 mg/m2 on three days, BSA 1.9 m2, as F-ara-A
    assert dose / clearance == pytest.approx(effect.reference, rel=0.05)
    assert 14.0 * effect.slope.mean == pytest.approx(0.3)


def test_ldh_is_higher_where_the_disease_grows_faster():
    p = patient(LDH_on_growth=0.15)
    slow, fast = (output("ldh", p=SimpleNamespace(**vars(p) | {"g": g})) for g in (0.0075, 0.015))
    assert slow == pytest.approx(p.LDH_level) and fast / slow == pytest.approx(2.0**0.15)


def test_every_slope_of_fitness_has_its_sign_before_any_patient_and_may_be_nothing():
    from scipy.stats import norm

    slopes = {p.name.removeprefix("fitness_on_"): p.typical for p in MODEL.parameters if "fitness_on_" in p.name}
    signs = {name: float(np.sign(prior.mean)) for name, prior in slopes.items()}
    assert signs == {"expansion": 1.0, "nonresponse": -1.0, "EC50": -1.0, "persistence": -1.0}
    for prior in slopes.values():
        assert np.hypot(prior.mean, prior.sd) == pytest.approx(0.3, abs=0.02)  # of the domain notes
        assert norm.cdf(abs(prior.mean) / prior.sd) == pytest.approx(0.84, abs=0.01)


def test_the_usual_mix_of_patients_grows_and_resists_as_its_sources_say():
    """Growth of 0.0043 to 0.0080 a day in trials, up to 0.0136 in late lines; f of a treatment's row as it stands."""

    def of_mix(name):
        parameter = next(p for p in MODEL.parameters if p.name == name)
        effects = [e for e in parameter.covariates if isinstance(e, Category)]
        shifts = sum(SHARES[e.covariate, e.level] * e.shift.mean for e in effects)
        return transformed(parameter) + shifts

    assert of_mix("resistance") == pytest.approx(0.0, abs=0.02)
    assert np.exp(of_mix("g")) == pytest.approx(0.0086, abs=0.0002)


def transformed(parameter):
    value = middle(parameter.typical)
    return {"log": np.log, "logit": lambda v: np.log(v / (1 - v)), "identity": float}[parameter.scale](value)


def test_every_number_of_the_model_says_where_it_comes_from():
    silent = [p.name for p in MODEL.parameters if not p.source or not p.mark]
    assert silent == [] and all(o.source for o in MODEL.observations)
