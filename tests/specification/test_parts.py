"""A drug that is defined once, in its folder, as a part of a disease model; what the hash of such a model covers."""

import pickle
from types import SimpleNamespace

import pytest

from bayestwin.dynamics.blocks import exponential_decline
from bayestwin.errors import ModelError
from bayestwin.specification import load_model, part_of
from bayestwin.specification.source_hash import hash_of_model

DISEASE = '''
"""A burden that daratumumab kills."""
from bayestwin.dynamics.blocks import saturation
from bayestwin.specification import *

dara = part_of("daratumumab", prefix="dara_", treatment="daratumumab")

def initial_state(p):
    return {**dara.initial_state(p), "ln_burden": 0.0}

def vector_field(t, y, p, u):
    C = dara.outputs["dara_concentration"](t, y, p, u)
    return {**dara.vector_field(t, y, p, u), "ln_burden": p.growth - p.kill * saturation(C, p.EC50)}

def rate(name, median):
    return Parameter(name, unit="1/day", scale="log", typical=LogNormal(median=median, sd_log=0.5), source="made up")

model = Model(
    name="disease", time_unit="day", dose_unit="mg", states=(*dara.states, "ln_burden"), initial_state=initial_state,
    vector_field=vector_field, routes=dara.routes, dosing=dara.dosing, outputs=dara.outputs,
    observations=dara.observations, covariate_units=dara.covariate_units,
    parameters=(*dara.parameters, rate("growth", 0.01), rate("kill", 0.05), rate("EC50", 200.0)),
    treatments=(Treatment("daratumumab", label="daratumumab", starts_with="line_of_therapy"),),
)
'''


class Since:
    """What is being done: every treatment has run for so many days."""

    def __init__(self, days):
        self.days = days

    def since(self, name):
        assert name == "daratumumab"
        return self.days


@pytest.fixture(scope="module")
def disease(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "disease"
    folder.mkdir()
    (folder / "model.py").write_text(DISEASE, encoding="utf-8")
    return load_model(folder)


def typical(model):
    return {p.name: getattr(p.typical, "median", None) or p.typical.value for p in model.parameters}


@pytest.mark.parametrize("days", [-1e9, 0.0, 30.0])
def test_a_part_flows_as_the_drug_alone_does_from_the_start_of_its_treatment(disease, days):
    alone = load_model("daratumumab")
    y = {"central": 700.0, "peripheral": 90.0}
    p = SimpleNamespace(**typical(disease))
    flows = disease.vector_field(400.0, SimpleNamespace(dara_central=700.0, dara_peripheral=90.0), p, Since(days))
    own = alone.vector_field(days, SimpleNamespace(**y), SimpleNamespace(**typical(alone)), None)
    assert {name: float(flows[f"dara_{name}"]) for name in y} == {name: float(own[name]) for name in y}
    wanes = exponential_decline(days, typical(alone)["kdes"])
    assert (wanes == 1.0) == (days <= 0)


def test_its_names_bear_the_prefix_and_its_parameters_belong_to_the_treatment(disease):
    alone = load_model("daratumumab")
    assert disease.states == ("dara_central", "dara_peripheral", "ln_burden")
    assert dict(disease.routes) == {"dara_iv": "dara_central"}
    assert [o.output for o in disease.observations] == ["dara_concentration"]
    for mine, other in zip(disease.parameters, alone.parameters):
        assert (mine.name, mine.treatment) == (f"dara_{other.name}", "daratumumab")
        assert (mine.typical, mine.covariates, mine.mark) == (other.typical, other.covariates, other.mark)
    assert disease.acting_covariates == alone.acting_covariates  # the patient's weight is one


def test_bioavailability_of_a_part_speaks_of_its_own_route():
    part = part_of("teclistamab", prefix="tec_")
    assert [(one.into, one.bioavailability) for one in part.dosing] == [("tec_sc", "tec_F")]


def test_a_model_with_hazards_is_no_part(disease):
    with pytest.raises(ModelError, match="myeloma_car_t.*a model with hazards cannot be a part.*in its own model"):
        part_of("myeloma_car_t")


def test_the_hash_of_a_model_follows_its_parts_and_the_blocks_it_uses(disease, monkeypatch):
    drugs = {"daratumumab": {"model.py": "CL = 1.0"}}
    sources = {"model.py": DISEASE}
    first = hash_of_model(sources, drugs.get)
    assert hash_of_model(sources, {"daratumumab": {"model.py": "CL = 1.0  # as published"}}.get) == first
    assert hash_of_model(sources, {"daratumumab": {"model.py": "CL = 1.1"}}.get) != first
    changed = {"response.py": "HALF = 2", "disposition.py": "V = 1"}
    monkeypatch.setattr(
        "bayestwin.specification.source_hash._blocks", lambda s: {"response.py": changed["response.py"]}
    )
    assert hash_of_model(sources, drugs.get) != first


def test_only_the_files_of_blocks_that_are_used_count():
    from bayestwin.specification.source_hash import _blocks

    assert list(_blocks({"model.py": DISEASE})) == ["response.py"]
    assert list(_blocks({"model.py": "from bayestwin.dynamics.blocks.binding import Bound"})) == ["binding.py"]
    assert len(_blocks({"model.py": "from bayestwin.dynamics.blocks import *"})) == 6
    assert _blocks({"model.py": "from bayestwin.specification import Model"}) == {}


def test_a_model_that_is_its_own_part_is_counted_once():
    sources = {"model.py": 'x = part_of("a")'}
    assert hash_of_model(sources, lambda name: sources)


def test_a_composed_model_can_be_sent_to_a_worker(disease):
    assert pickle.loads(pickle.dumps(disease)) == disease
