"""Response of simulated arms: coded by imwg.py as a record would be; what CR, entry and the end ask for."""

from importlib import import_module

import numpy as np
import pytest

from bayestwin.prognosis.virtual_response import SimulatedLabs, coder_of
from bayestwin.records.record import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification import load_model
from bayestwin.specification.load import model_part

NAMES = {-1: "NE", 0: "SD", 1: "MR", 2: "PR", 3: "VGPR", 4: "CR", 5: "sCR"}
VISITS = np.arange(12) * 28.0
FLOOR = 10.0


@pytest.fixture(scope="module")
def folder():
    model = load_model("myeloma_car_t")
    return model, model_part(model, "endpoints")


@pytest.fixture(scope="module")
def arrays(folder):
    return import_module(f"{folder[1].__name__.rpartition('.')[0]}.response_of_arrays")


def courses(seed, count):
    """Courses that fall to a nadir and rise again, half of them followed by light chains; some end early."""
    rng = np.random.default_rng(seed)
    chains = rng.random(count) < 0.5
    depth, back = rng.uniform(0.0, 8.0, (count, 1)), rng.uniform(60.0, 400.0, (count, 1))
    shape = np.exp(-depth * np.minimum(VISITS / 60.0, 1.0) + np.maximum(VISITS - back, 0.0) / 60.0)
    protein = np.where(chains[:, None], 0.2, rng.uniform(8.0, 60.0, (count, 1)) * shape)
    involved = FLOOR + np.where(chains[:, None], rng.uniform(80.0, 3000.0, (count, 1)) * shape, 5.0)
    ended = VISITS >= rng.choice([90.0, 200.0, np.inf], (count, 1))
    seen = {
        "m_protein": np.maximum(protein * np.exp(0.05 * rng.standard_normal(protein.shape)), 0.5),
        "involved_flc": involved * np.exp(0.05 * rng.standard_normal(protein.shape)),
        "uninvolved_flc": rng.uniform(3.0, 60.0, (count, 1)) * np.ones(protein.shape),
    }
    return SimulatedLabs(
        {name: values[:, 0] for name, values in seen.items()},
        {name: np.where(ended, np.nan, values) for name, values in seen.items()},
        {"m_protein": protein, "involved_flc": involved, "uninvolved_flc": seen["uninvolved_flc"]},
        {"light_chain": chains.astype(float), "FLC_floor": np.full(count, FLOOR), "IFE_limit": np.full(count, 0.2)},
        0,
        np.random.default_rng(seed),
    )


def record_of(labs, visits, i):
    """What a laboratory would have reported of the i-th course."""
    rows = []

    def add(output, t, value, **more):
        rows.append(Lab(f"{output}@{t}", output, float(t), float(value), float(t), **more))

    for v, t in enumerate(VISITS):
        if np.isnan(labs.seen["m_protein"][i, v]):
            break
        value = labs.seen["m_protein"][i, v]
        add("m_protein", t, value, **({"censoring": "left"} if value <= 0.5 else {}))
        for name in ("involved_flc", "uninvolved_flc"):
            add(name, t, labs.seen[name][i, v])
        add("flc_ratio", t, 1.0 if visits.normal_ratio[i, v] == 1 else 30.0)
        for name in ("ife_serum", "ife_urine"):
            add(name, t, visits.ife_serum[i, v])
        add("marrow_plasma_cells", t, 50.0 if visits.ife_serum[i, v] else 0.0)
    started = (ClinicalEvent("line_of_therapy", 0.0, 0.0, "dara_pd"),)
    return PatientRecord(f"P-{i}", labs=tuple(rows), events=started)


def test_arrays_are_coded_as_their_records_are(folder, arrays):
    model, part = folder
    labs = courses(1, 60)
    visits = arrays.simulated_trial_visits(labs._replace(rng=np.random.default_rng(1)))
    _, response, complete = arrays.response_of_arrays(labs._replace(rng=np.random.default_rng(1)))
    best, kinds = arrays.code(visits, arrays.TRIALS).best, set()
    for i in range(60):
        coded = part.code_record(model, record_of(labs, visits, i), 0.0, np.inf, serum_measurable=5.0)
        assert response[i] == (coded.best in ("PR", "VGPR", "CR", "sCR")), (i, coded.best)
        assert complete[i] == (coded.best in ("CR", "sCR")), (i, coded.best)
        assert NAMES[int(best[i])] == (coded.best or "NE"), i
        kinds.add((coded.measured_by, coded.best))
    assert {name for _, name in kinds} >= {"SD", "PR", "VGPR", "CR"}
    assert {by for by, _ in kinds} >= {("serum M-protein",), ("free light chains",)}


def test_an_antibody_that_immunofixation_sees_does_not_hide_a_complete_response(arrays):
    labs = courses(2, 4)
    gone = labs._replace(
        screening={**labs.screening, "m_protein": np.full(4, 20.0)},
        latent={**labs.latent, "m_protein": np.full((4, 12), 1e-3)},
        seen={**labs.seen, "m_protein": np.where(VISITS > 0, 0.5, 20.0) * np.ones((4, 1))},
        values={**labs.values, "light_chain": np.zeros(4)},
    )
    assert arrays.response_of_arrays(gone)[2].all()


def test_one_reading_is_no_response_and_who_cannot_be_followed_is_not_in_the_trial(arrays):
    labs = courses(3, 2)
    fallen_once = np.where(VISITS == 84.0, 2.0, 20.0) * np.ones((2, 1))
    once = labs._replace(
        latent={**labs.latent, "m_protein": fallen_once},
        seen={**labs.seen, "m_protein": fallen_once, "involved_flc": np.full((2, 12), 12.0)},
        values={**labs.values, "light_chain": np.zeros(2)},
        screening={**labs.screening, "m_protein": np.array([20.0, 4.0]), "involved_flc": np.full(2, 12.0)},
    )
    entered, response, _ = arrays.response_of_arrays(once)
    assert entered.tolist() == [True, False] and not response.any()


def fallen(labs, at_start, left, *, chains):
    """A course: screened at 6 g/L or 150 mg/L, `at_start` when the treatment starts, then `left` three times."""
    rows = {"m_protein": (6.0, 0.5), "involved_flc": (150.0, 12.0), "uninvolved_flc": (10.0, 10.0)}
    followed = "involved_flc" if chains else "m_protein"
    seen = {name: np.full((1, 5), other) for name, (_, other) in rows.items()}
    seen[followed] = np.array([[rows[followed][0], at_start, left, left, left]])
    return labs._replace(
        screening={name: values[:, 0] for name, values in seen.items()},
        seen=seen,
        latent=seen,
        values={"light_chain": np.array([float(chains)]), "FLC_floor": np.array([FLOOR]), "IFE_limit": np.array([0.2])},
        begin=1,
    )


@pytest.mark.parametrize(
    ("chains", "at_start", "left", "responds"),
    [
        (False, 6.0, 1.8, True),
        (False, 4.9, 1.5, True),  # measurable at screening is enough: 69 % down
        (False, 4.9, 2.6, False),  # 47 % down, and seen
        (True, 99.0, 30.0, True),  # the difference falls from 89 to 20
        (True, 99.0, 60.0, False),
    ],
)
def test_what_was_measurable_at_screening_is_followed_though_bridging_took_it_below(
    arrays, chains, at_start, left, responds
):
    labs = fallen(courses(4, 1), at_start, left, chains=chains)
    entered, response, _ = arrays.response_of_arrays(labs)
    assert entered.tolist() == [True] and response.tolist() == [responds]


def test_the_folder_says_what_it_reads_and_the_hash_of_the_model_does_not_hold_it(folder):
    model, _ = folder
    coder = coder_of(model)
    assert coder.outputs == ("m_protein", "involved_flc", "uninvolved_flc")
    assert set(coder.parameters) <= set(model.parameter_names)
