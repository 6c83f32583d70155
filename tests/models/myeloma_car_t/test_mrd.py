"""MRD of a marrow sample: its law against integrals and simulation, the same in lab and virtual arms, what it moves."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from level_model import as_population
from scipy import integrate, stats

from bayestwin.evaluation.layers import learnt_in
from bayestwin.individual.residuals import CENSORING, draw_observation, log_likelihood_of
from bayestwin.population import load_population
from bayestwin.population.hyper import assemble, hyper_sites
from bayestwin.prognosis import forecast
from bayestwin.records import read_records
from bayestwin.specification import load_model, model_folder, read_evidence
from bayestwin.specification.load import model_part
from bayestwin.twin import start_twin, update_twin

MODEL = load_model("myeloma_car_t")
K = MODEL.observation_index["mrd"]
ARMS, MRD = model_part(MODEL, "arms"), model_part(MODEL, "mrd")
WAY = ARMS.Marrow.of(MODEL)
SHIFT, SD = float(WAY.shift[0]), float(WAY.sd[0])
SIGMA = np.array([getattr(prior, "value", 1.0) for prior in MODEL.residual_parameters.values()])
SHARE = 0.3


def seen(ln_b, share=SHARE):
    """Output of the model at a burden, half of it resistant."""
    half = ln_b + np.log(0.5)
    y, p = SimpleNamespace(ln_sensitive=half, ln_resistant=half), SimpleNamespace(marrow_share=share, MRD_shift=SHIFT)
    return MODEL.outputs["mrd"](0.0, y, p, None)


def chance(ln_b, value, censoring, upper=None):
    """P of a result as the one likelihood has it."""
    with jax.enable_x64(True):
        more = {} if upper is None else {"upper": upper}
        found = log_likelihood_of(MODEL, K, seen(ln_b), value, CENSORING[censoring], jnp.asarray(SIGMA), **more)
    return float(np.exp(found))


@pytest.mark.parametrize("sensitivity", [1e-4, 1e-5, 1e-6])
@pytest.mark.parametrize("ln_b", [-16.0, -9.0, -4.0, 0.0])
def test_a_negative_test_has_the_chance_of_the_local_factor_integrated_out(sensitivity, ln_b):
    factor = stats.norm(SHIFT, SD)
    most = np.log(sensitivity) - np.log(SHARE) - ln_b  # of ln c for which the sample holds less than the sensitivity
    by_quadrature = integrate.quad(factor.pdf, SHIFT - 12 * SD, most, limit=200)[0]
    assert chance(ln_b, sensitivity, "left") == pytest.approx(by_quadrature, rel=1e-6, abs=1e-12)
    assert chance(ln_b, sensitivity, "right") == pytest.approx(1.0 - by_quadrature, rel=1e-6, abs=1e-9)
    assert float(WAY.negative(SHARE, jnp.asarray(ln_b), sensitivity)[0]) == pytest.approx(by_quadrature, abs=2e-6)
    size = 40_000
    drawn = draw_observation(MODEL, K, np.random.default_rng(1), np.full(size, seen(ln_b)), SIGMA)
    error = np.sqrt(by_quadrature * (1.0 - by_quadrature) / size)
    assert (drawn < sensitivity).mean() == pytest.approx(by_quadrature, abs=5 * error + 1e-9)


def test_one_sample_at_several_sensitivities_is_one_measurement_between_them():
    between = chance(-9.0, 1e-6, "interval", upper=1e-5)
    assert between == pytest.approx(chance(-9.0, 1e-5, "left") - chance(-9.0, 1e-6, "left"), rel=1e-9)
    assert chance(-9.0, 1e-6, "left") < chance(-9.0, 1e-5, "left") < chance(-9.0, 1e-4, "left")


def test_above_the_baseline_a_sample_says_no_more_than_at_it():
    assert seen(3.0) == seen(0.0) == pytest.approx(SHARE * np.exp(SHIFT))


@pytest.mark.parametrize("ln_b", [-80.0, -30.0, -9.0, 2.0])
@pytest.mark.parametrize("censoring", ["left", "right", "none"])
def test_every_result_has_a_finite_probability_and_slope_at_any_depth(ln_b, censoring):
    def of(x):
        return log_likelihood_of(MODEL, K, seen(x), 1e-5, CENSORING[censoring], jnp.asarray(SIGMA))

    with jax.enable_x64(True):
        assert all(np.isfinite(v) for v in jax.value_and_grad(of)(ln_b))


# one law in lab and virtual arms ----------------------------------------------------------------------------------


class ByTheLab:
    """What `simulate` asks of a marrow: simulated samples of the model's lab instead of the closed form."""

    noise = stats.norm.ppf((np.arange(4_000) + 0.5) / 4_000)  # stratified: a share is right to 1 in 8,000

    def negative(self, share, ln_b):
        samples = jnp.log(seen(ln_b, share))[..., None] + SD * self.noise
        return jnp.mean(samples < np.log(1e-5), axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def arm():
    """One arm of 64 virtual patients for 13 months under one draw of the population: by the closed form, by samples."""
    arm = next(a for a in read_evidence(model_folder(MODEL.name) / "evidence.toml", MODEL) if a.trial == "KarMMa")
    units, days = ARMS.units_of([arm]), 13 * ARMS.MONTH
    made = ARMS.make_nodes(MODEL, [arm], units, 64, days, 1, 0.5)
    grid, at = ARMS.time_grid(days, arm.visit_every)
    posterior = load_population(model_folder(MODEL.name) / "population.nc", MODEL).tree["posterior"].to_dataset()
    values = {name: posterior[name].values.reshape(-1)[0] for name in hyper_sites(MODEL)}
    sigma = np.array([values[s] for s in ("sigma_add_m_protein", "sigma_prop_m_protein", "sigma_log_involved_flc")])
    nothing = np.zeros((len(units), len(MODEL.parameter_names)))
    with jax.enable_x64(True):
        hyper = assemble(MODEL, values, 0.5)

        @jax.jit
        def simulated():
            return [
                ARMS.simulate(MODEL, hyper, nothing, made, grid, at, 0.5, sigma, marrow) for marrow in (WAY, ByTheLab())
            ]

        return [{name: np.asarray(value) for name, value in one.items()} for one in simulated()]


def test_the_rate_of_negative_tests_in_a_virtual_arm_is_that_of_the_labs_own_law(arm):
    closed, sampled = (one["mrd_negative"].sum() / one["entered"].sum() for one in arm)
    assert closed == pytest.approx(sampled, abs=2e-4) and 0.05 < closed < 0.8


def test_in_a_virtual_arm_a_negative_test_goes_with_more_who_are_free_of_progression_at_12_months(arm):
    one, visit = arm[0], -2  # of 13 months
    free, negative = one["pfs"][..., visit].sum(), one["mrd_negative"].sum()
    both, all_of_them = one["mrd_and_pfs"][..., visit].sum(), one["entered"].sum()
    given_negative, given_positive = both / negative, (free - both) / (all_of_them - negative)
    assert given_negative > free / all_of_them + 0.1 and given_positive < free / all_of_them - 0.02


# a twin -----------------------------------------------------------------------------------------------------------

DEPTH = f'''
"""A burden that stands still, seen by a marrow sample as in myeloma; who has more of it progresses sooner."""
import jax
import jax.numpy as jnp
from bayestwin.specification import *

def initial_state(p):
    return {{"ln_b": p.ln_b}}

def vector_field(t, y, p, u):
    return {{"ln_b": 0.0 * y.ln_b}}

model = Model(
    name="depth", time_unit="day", states=("ln_b",), initial_state=initial_state, vector_field=vector_field,
    steps=Steps(first=1000.0, growth=1.0, largest=1000.0),
    parameters=(
        Parameter("ln_b", unit="", scale="identity", typical=Normal(mean=-9.0, sd=0.5), between=Fixed(value=4.0)),
    ),
    outputs={{"mrd": lambda t, y, p, u: jnp.exp(y.ln_b + {SHIFT}),
              "m_protein": lambda t, y, p, u: 20.0 + 0.0 * y.ln_b}},
    hazards={{"other": lambda t, y, p, u: 0.004 * jax.nn.sigmoid(0.5 * (y.ln_b + 9.0)),
             "death": lambda t, y, p, u: 0.0 * y.ln_b}},
    observations=(
        Observation("mrd", unit="cells/cell", error=LogNormalError(sd=Fixed(value={SD})), plausible=(0.0, 1.0),
                    findings=("negative", "positive"), layer="research"),
        Observation("m_protein", unit="g/L", error=Additive(sd=Fixed(value=0.3)), plausible=(0.0, 120.0)),
    ),
    treatments=(Treatment("watch", label="watching"),),
    endpoints=(Progression(rules=(SerologicalRule("m_protein", relative=0.25, absolute=5.0),), visit_every=28.0,
                           progression_hazards=("other",), death_hazard="death"),),
)
'''
YEAR = 12 * 30.4375
HEAD = "patient,lab_id,time,output,value,value_to,unit,lloq\n"
NEGATIVE, POSITIVE = "P-1,{},0,mrd,negative,,1,1e-5\n", "P-1,{},0,mrd,positive,,1,1e-5\n"
RECORDS = {
    "none": (),
    "negative": (NEGATIVE,),
    "positive": (POSITIVE,),
    "between": ("P-1,{},0,mrd,1e-6,1e-5,1,\n",),
    "twice": (NEGATIVE, NEGATIVE),
    "failed": ("P-1,{},0,mrd,failed,,1,1e-5\n",),
}


MEDIANS = -9.0 + 0.5 * np.random.default_rng(1).standard_normal(100)  # draws of the population


def record_of(schema, name, folder):
    """What labs.csv says of one patient."""
    rows = "".join(row.format(k) for k, row in enumerate(RECORDS[name]))
    (folder / "labs.csv").write_text(HEAD + "P-1,x,0,m_protein,20,,g/L,\n" + rows, encoding="utf-8")
    reading = read_records(schema, labs=folder / "labs.csv")
    assert len(reading.refusals) == (name == "failed")
    return reading.cohort["P-1"]


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Twins of the small model by record."""
    folder, found = tmp_path_factory.mktemp("models") / "depth", {}
    folder.mkdir()
    (folder / "model.py").write_text(DEPTH, encoding="utf-8")
    population = as_population(load_model(folder), {"ln_b_pop": MEDIANS})
    for name in RECORDS:
        record = record_of(population.model.record_schema(), name, folder)
        found[name] = start_twin(population, record, particles=2000, islands=4, population_draws=100, random_seed=1)
    return found


@pytest.fixture(scope="module")
def chances(twins):
    """Chance to be free of progression at a year by record."""
    asked = {"horizon_months": 12, "landmarks_months": (12,), "random_seed": 2, "over_rho": False}
    return {name: forecast(twin, ["watch"], **asked).chance("watch", 12).value for name, twin in twins.items()}


def free_at_a_year(name):
    """The same by quadrature over the burden, the local factor in closed form."""
    x = np.linspace(-40.0, 25.0, 4001)
    below = {s: stats.norm.cdf((np.log(s) - x - SHIFT) / SD) for s in (1e-5, 1e-6)}
    said = {
        "negative": below[1e-5],
        "positive": 1.0 - below[1e-5],
        "between": below[1e-5] - below[1e-6],
        "twice": below[1e-5] ** 2,
    }
    weight = stats.norm.pdf(x, MEDIANS[:, None], 4.0).mean(axis=0) * said.get(name, 1.0)
    return (weight * np.exp(-0.004 / (1.0 + np.exp(-0.5 * (x + 9.0))) * YEAR)).sum() / weight.sum()


@pytest.mark.parametrize("name", list(RECORDS))
def test_a_twin_learns_from_a_result_what_quadrature_says(chances, name):
    assert chances[name] == pytest.approx(free_at_a_year(name), abs=0.03)  # SD over seeds: 0.004 to 0.007


def test_a_negative_result_raises_and_a_positive_lowers_the_chance_to_be_free_of_progression_at_a_year(chances):
    assert (
        chances["twice"] > chances["negative"] > chances["none"] + 0.05 and chances["positive"] < chances["none"] - 0.05
    )


def test_a_sample_that_could_not_be_judged_is_missing_and_not_negative(chances):
    assert chances["failed"] == chances["none"]


@pytest.mark.parametrize("name", ["negative", "positive"])
def test_how_surprising_a_result_is_is_the_chance_of_it_and_not_of_a_number_drawn_within(twins, name):
    x = np.linspace(-40.0, 25.0, 4001)
    prior = stats.norm.pdf(x, MEDIANS[:, None], 4.0).mean(axis=0)
    below = (prior * stats.norm.cdf((np.log(1e-5) - x - SHIFT) / SD)).sum() / prior.sum()
    _, info = update_twin(twins["none"], twins[name].record, random_seed=3)
    (seen,) = info.surprise
    expected = below if name == "negative" else 1.0 - below
    assert np.exp(seen.log_score) == pytest.approx(expected, abs=0.03) and seen.tail == pytest.approx(
        np.exp(seen.log_score), rel=1e-12
    )
    assert seen.ends == ((0.0, seen.tail) if name == "negative" else (1.0 - seen.tail, 1.0))
    assert seen.ends[0] <= seen.pit <= seen.ends[1] and seen.alarm == "" and seen.tenfold_high is None


def test_mrd_belongs_to_the_labs_of_a_research_laboratory():
    assert "mrd" in learnt_in(MODEL, "research") and "mrd" not in learnt_in(MODEL, "routine")
