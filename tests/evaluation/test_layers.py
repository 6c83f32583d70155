"""The same labs forecast by twins of a registry, of routine care and of a research laboratory."""

import numpy as np
import pytest
from level_model import LEVEL, as_population, level_draws

from bayestwin.errors import ModelError
from bayestwin.evaluation.layers import layer_table, learnt_in, replay_layer, scored_outputs
from bayestwin.records import ClinicalEvent, Lab, PatientRecord
from bayestwin.specification import load_model
from bayestwin.specification.observations import LAYERS

SIZES = {"particles": 1600, "islands": 4, "population_draws": 100}
MORE = """
    outputs={"m_protein": lambda t, y, p, u: y.level, "grade": lambda t, y, p, u: y.level - 20.0,
             "exact": lambda t, y, p, u: y.level},
    observations=(
        Observation("m_protein", unit="g/L", error=Additive(sd=Fixed(value=1.5)), plausible=(-100.0, 100.0),
                    positive=False),
        Observation("grade", unit="", distribution=Ordinal(categories=("low", "high"), cut_points=(Fixed(value=0.0),)),
                    layer="registry", derived_from=("m_protein",), derived_within=1.0),
        Observation("exact", unit="g/L", error=Additive(sd=Fixed(value=0.2)), plausible=(-100.0, 100.0), positive=False,
                    layer="research"),
    ),
    endpoints=(Progression(rules=(SerologicalRule("m_protein", relative=0.25, absolute=5.0),), visit_every=28.0),),
"""


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    """The level model with a grade for registries and an exact research lab."""
    folder = tmp_path_factory.mktemp("models") / "layered"
    folder.mkdir()
    start, end = LEVEL.index("    outputs="), LEVEL.index("    treatments=")
    text = LEVEL[:start] + MORE.lstrip("\n") + LEVEL[end:]
    (folder / "model.py").write_text(text.replace('"level", time_unit', '"layered", time_unit'), encoding="utf-8")
    return as_population(load_model(folder), level_draws())


@pytest.fixture(scope="module")
def replayed(layered):
    """Layer -> rows of a patient at 24 g/L, high in every registry entry."""
    labs = [Lab(f"m{t}", "m_protein", t, 24.0 + 0.3 * (-1) ** t, t + 0.1) for t in range(1, 7)]
    labs += [Lab(f"g{t}", "grade", t, 1.0, t + 0.3) for t in range(1, 7)]
    labs += [Lab(f"e{t}", "exact", t, 24.0, t + 0.2) for t in (2, 4)]
    record = PatientRecord("L-1", labs=tuple(labs))
    return {layer: replay_layer(layered, record, layer, random_seed=1, **SIZES) for layer in LAYERS}


def test_a_layer_learns_its_own_labs_and_those_of_the_layers_before_it(layered):
    found = {layer: learnt_in(layered.model, layer) for layer in LAYERS}
    assert found["registry"] == ("grade",) and found["research"] == ("m_protein", "grade", "exact")
    assert found["routine"] == ("m_protein", "grade") and scored_outputs(layered.model) == ("m_protein",)


def test_every_layer_forecasts_the_same_labs_with_the_clock_of_the_record(replayed):
    asked = [[(row["lab_id"], row["known_time"], row["observed"]) for row in rows] for rows in replayed.values()]
    assert asked[0] == asked[1] == asked[2] and [a[0] for a in asked[0]] == [f"m{t}" for t in range(1, 7)]
    assert asked[0][0][1] == 1.1


def test_before_anything_is_learnt_all_layers_say_the_same_and_then_more_labs_know_better(replayed):
    first, last = ([rows[k] for rows in replayed.values()] for k in (0, -1))
    assert first[0]["q50"] == first[1]["q50"] == first[2]["q50"]
    registry, routine, research = (row["sd"] for row in last)
    assert first[0]["sd"] > registry > routine > research
    assert last[0]["q50"] > first[0]["q50"] + 0.5  # six high grades are learnt, though M-protein was asked for


def test_a_registry_twin_never_sees_the_marker(replayed):
    assert [row["n_seen"] for row in replayed["registry"]] == [0, 1, 2, 3, 4, 5]


def test_a_panel_that_changes_the_past_has_no_forecast_and_the_rest_goes_on(layered):
    """The drug's start of day 1 becomes known with the lab of day 3."""
    labs = tuple(Lab(f"m{t}", "m_protein", t, 20.0, t) for t in (1.0, 2.0, 3.0, 4.0))
    late = ClinicalEvent("line_of_therapy", 1.5, 3.0, "drug")
    rows = replay_layer(layered, PatientRecord("L-2", labs=labs, events=(late,)), "routine", random_seed=1, **SIZES)
    assert [row["lab_id"] for row in rows] == ["m1.0", "m2.0", "m4.0"]


def test_the_table_puts_the_layers_beside_each_other(replayed):
    table = layer_table(replayed, random_seed=1)
    assert list(table.columns) == ["output", "score", *LAYERS, "labs", "patients"]
    crps = table[table["score"] == "crps"].iloc[0]
    assert crps["labs"] == 6 and crps["registry"] > crps["research"] and np.isfinite(crps["routine"])


def test_a_model_without_progression_has_no_layers_to_compare():
    with pytest.raises(ModelError, match="theophylline.*the model has none"):
        scored_outputs(load_model("theophylline"))
