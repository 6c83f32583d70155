"""The total log-likelihood: sum over classes, gradients, identities between records, failing solves."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from bayestwin.individual import compile_record, prior_mean, total_log_likelihood

SIZES = {"theophylline": (8, 320), "myeloma_car_t": (16, 64)}


# The myeloma model takes a minute to compile: `make validate`; the contract suite has its likelihood and gradient too.
@pytest.fixture(scope="module", params=["theophylline", pytest.param("myeloma_car_t", marks=pytest.mark.validate)])
def patient(request, at_medians):
    """(model, data, psi, hyper, rho) away from the prior mode."""
    name = request.param
    model = request.getfixturevalue("theophylline" if name == "theophylline" else "myeloma")
    record = request.getfixturevalue("theophylline_record" if name == "theophylline" else "myeloma_record")
    rho = 0.5 if model.response_correlation else 0.0
    hyper, data = at_medians(model, rho), compile_record(model, record, sizes=SIZES[name])
    mean = prior_mean(model, hyper, jnp.asarray(data.terms))
    psi = mean + 0.2 * hyper.omega * jnp.cos(1.0 + jnp.arange(len(mean)))
    return model, data, psi, hyper, rho


def test_the_total_is_the_sum_over_classes_of_chance_times_likelihood(patient, compiled):
    model, data, psi, hyper, rho = patient
    total = float(total_log_likelihood(compiled[3](model)(psi, hyper, data, rho)))
    by_hand = 0.0
    for row in data.classes:
        one = compiled[0](model)(psi, hyper, data._replace(classes=row[None]), rho)
        by_hand += np.exp(
            float(one.log_class[0]) + float(one.rows.sum()) + float(one.alive[0]) + float(one.other[0]) - total
        )
    assert len(data.classes) == (4 if model.response_classes else 1)
    assert by_hand == pytest.approx(1.0, abs=1e-9)


def test_the_gradient_is_the_finite_difference(patient, compiled, stack_draws):
    model, data, psi, hyper, rho = patient
    by_psi, by_hyper = compiled[2](model)(psi, hyper, data, rho)
    h, d, fields = 1e-5, len(psi), ("typical", "effects", "sigma")
    n = max(160, 2 * max(d, *(getattr(hyper, field).shape[0] for field in fields)))
    moved = jnp.concatenate([psi + h * jnp.eye(d), psi - h * jnp.eye(d), jnp.broadcast_to(psi, (n - 2 * d, d))])
    up, down = compiled[1](model)(moved, stack_draws(hyper, n), data, rho)[: 2 * d].reshape(2, d)
    scale = np.abs(by_psi).max()
    np.testing.assert_allclose(by_psi, (up - down) / (2 * h), rtol=1e-4, atol=1e-6 * scale)
    # the population draw: typical-only parameters, covariate effects and residual SDs in turn
    for field in fields:
        size = getattr(hyper, field).shape[0]
        steps = h * jnp.concatenate([jnp.eye(size), -jnp.eye(size), jnp.zeros((n - 2 * size, size))])
        many = stack_draws(hyper, n)
        many = many._replace(**{field: getattr(many, field) + steps})
        up, down = compiled[1](model)(jnp.broadcast_to(psi, (n, d)), many, data, rho)[: 2 * size].reshape(2, size)
        got = getattr(by_hyper, field)
        np.testing.assert_allclose(got, (up - down) / (2 * h), rtol=1e-4, atol=1e-6 * np.abs(got).max(), err_msg=field)


def test_no_likelihood_remains_where_the_solver_gave_up_and_the_neighbour_keeps_hers(patient, compiled, stack_draws):
    model, data, psi, hyper, rho = patient
    fast = list(model.individual_names).index("ka" if "ka" in model.individual_names else "kP")
    lanes = jnp.broadcast_to(psi, (160, len(psi))).at[1, fast].set(25.0)
    totals = np.asarray(compiled[1](model)(lanes, stack_draws(hyper, 160), data, rho))
    assert totals[1] == -np.inf
    assert np.isfinite(totals[0]) and totals[0] == totals[2]


def test_padding_to_longer_arrays_changes_no_likelihood(patient, compiled, theophylline_record, myeloma_record):
    model, data, psi, hyper, rho = patient
    if model.name != "theophylline":
        pytest.skip("one model is enough: the padding is the same code")
    longer = compile_record(model, theophylline_record, sizes=(32, 512))
    one, two = (total_log_likelihood(compiled[0](model)(psi, hyper, x, rho)) for x in (data, longer))
    assert float(one) == pytest.approx(float(two), rel=1e-12)


def many_psi(theophylline, hyper):
    return hyper.typical + jnp.array([[0.3, 0.1, -0.2], [-0.4, 0.2, 0.1], [0.0, -0.3, 0.3], [0.1, 0.0, 0.0]])


@pytest.fixture
def theophylline_totals(theophylline, theophylline_record, at_medians, compiled, stack_draws):
    """Totals of four sets of individual parameters for some labs and a residual SD."""

    def totals(labs, sd):
        hyper = at_medians(theophylline)._replace(sigma=jnp.array([sd]))
        data = compile_record(theophylline, replace(theophylline_record, labs=tuple(labs)), sizes=(8, 320))
        psi = jnp.concatenate([many_psi(theophylline, hyper)] * 40)
        return np.asarray(compiled[1](theophylline)(psi, stack_draws(hyper, 160), data, 0.0))[:4]

    return totals


def test_two_equal_labs_weigh_as_one_lab_of_half_the_variance(theophylline_totals, make_lab):
    one, again = make_lab("concentration", 2.0, 8.0), make_lab("concentration", 2.0, 8.0, number=1)
    twice, once = theophylline_totals([one, again], 0.7), theophylline_totals([one], 0.7 / np.sqrt(2))
    np.testing.assert_allclose(np.diff(twice), np.diff(once), rtol=1e-9)


def test_labs_of_two_halves_multiply(theophylline_totals, theophylline_record):
    labs = theophylline_record.labs
    whole = theophylline_totals(labs, 0.7)
    parts = theophylline_totals(labs[:3], 0.7) + theophylline_totals(labs[3:], 0.7)
    np.testing.assert_allclose(whole, parts, rtol=1e-9)


def test_a_record_without_labs_says_nothing(theophylline_totals):
    np.testing.assert_array_equal(theophylline_totals([], 0.7), 0.0)


def test_a_lab_that_the_model_does_not_know_is_left_out(theophylline_totals, theophylline_record, make_lab):
    labs = theophylline_record.labs
    with_other = theophylline_totals([*labs, make_lab("potassium", 2.0, 4.0)], 0.7)
    np.testing.assert_array_equal(with_other, theophylline_totals(labs, 0.7))


@pytest.mark.validate  # test_events.py and test_dosing_parameters.py resume smaller models
def test_resuming_gives_the_likelihood_of_the_later_labs(myeloma, myeloma_record, at_medians, compiled):
    rho, cut = 0.5, 49.0
    hyper = at_medians(myeloma, rho)
    early = replace(
        myeloma_record,
        labs=tuple(lab for lab in myeloma_record.labs if lab.time <= cut),
        events=(*(e for e in myeloma_record.events if e.event != "assessed"),),
    )
    early = replace(early, labs=(*early.labs, replace(early.labs[0], lab_id="cut", time=cut)))
    late = replace(myeloma_record, labs=(*myeloma_record.labs, early.labs[-1]))
    psi = prior_mean(myeloma, hyper, jnp.asarray(compile_record(myeloma, late).terms))

    pieces = compiled[0](myeloma)  # without gradients it compiles in a third of the time
    whole = pieces(psi, hyper, compile_record(myeloma, late, sizes=(16, 64)), rho)
    seen = pieces(psi, hyper, compile_record(myeloma, early, sizes=(16, 64)), rho)
    rest = compile_record(myeloma, late, resume_at=cut, sizes=(16, 64))
    resumed = pieces(psi, hyper, rest, rho, seen.end)

    np.testing.assert_allclose(seen.rows.sum(1) + resumed.rows.sum(1), whole.rows.sum(1), rtol=1e-5)
    np.testing.assert_allclose(resumed.end, whole.end, rtol=1e-5)
    np.testing.assert_allclose(resumed.alive, whole.alive, rtol=1e-5)  # hazard integrals travel with the state
    np.testing.assert_allclose(resumed.other, whole.other, rtol=1e-5)
    np.testing.assert_array_equal(resumed.log_class, whole.log_class)


def test_a_transgene_lab_on_the_day_of_infusion_sees_no_cells_yet(myeloma, at_medians, compiled, make_lab):
    from bayestwin.records.record import ClinicalEvent, PatientRecord

    hyper = at_medians(myeloma, 0.5)
    for day in (0.0, 14.0):
        record = PatientRecord(
            "P-001",
            labs=(make_lab("transgene", day, 50.0, "left"), make_lab("m_protein", day + 28.0, 9.0)),
            events=(
                ClinicalEvent("line_of_therapy", day, day, "dara_pd"),
                ClinicalEvent("infusion", day, day, "ide_cel"),
            ),
        )
        psi = prior_mean(myeloma, hyper, jnp.zeros(len(myeloma.effects)))
        pieces = compiled[0](myeloma)(psi, hyper, compile_record(myeloma, record, sizes=(16, 64)), 0.5)
        assert float(pieces.prediction[0, 0]) < 1e-12, f"infusion on day {day:g}"
