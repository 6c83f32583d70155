"""Loading by name and path, the hash of a model, pickling, printing, the record schema, eligibility."""

import os
import pickle
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from bayestwin.errors import ModelError
from bayestwin.specification import Eligibility, load_model, model_folder, models_folder
from bayestwin.specification.load import code_hash, model_part

SOURCE = '''"""A model."""

def f(x):
    """Say what."""
    y = x + 1.5  # why
    return f"{y:g} mg"


class A:
    """Doc."""
    b = (1,
         2)
'''


def hash_of(text):
    return code_hash({"model.py": text})


@pytest.fixture
def copied(tmp_path):
    """Theophylline in a folder of its own."""
    folder = tmp_path / "theophylline"
    shutil.copytree(model_folder("theophylline"), folder, ignore=shutil.ignore_patterns("__pycache__", "*.nc"))
    return folder


def edit(folder, old, new):
    path = folder / "model.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return folder


# the hash --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "old, new",
    [
        ("# why", "# another reason"),
        ('"""Say what."""', '"""Say it better,\n    on two lines."""'),
        ('"""A model."""\n', ""),
        ("(1,\n         2)", "(1, 2)"),
        ("    y = x + 1.5", "    y  =  x+1.5"),
        ("\n\nclass", "\nclass"),
    ],
)
def test_comments_docstrings_and_layout_do_not_change_the_hash(old, new):
    assert old in SOURCE
    assert hash_of(SOURCE.replace(old, new)) == hash_of(SOURCE)


@pytest.mark.parametrize(
    "old, new",
    [
        ("1.5", "1.6"),
        ("x + 1.5", "x - 1.5"),
        (" mg", " g"),
        ("return", "yield"),
        ("    b = ", "b = "),
        ("f(x)", "f(z)"),
    ],
)
def test_a_number_a_sign_a_word_or_a_block_changes_the_hash(old, new):
    assert old in SOURCE
    assert hash_of(SOURCE.replace(old, new)) != hash_of(SOURCE)


def test_a_line_that_starts_with_a_sign_is_not_the_rest_of_the_line_before():
    assert hash_of("x = a\n- b\n") != hash_of("x = a - b\n")
    assert hash_of("x = a\n(b)\n") != hash_of("x = a(b)\n")


def test_the_hash_is_the_same_on_every_python():
    # recorded with Python 3.12; a Python that tokenizes differently would orphan every stored posterior
    assert hash_of(SOURCE) == "01236698510352e1b7a27a35abddbafb8664ad42e52cd037af47d0054030b75f"


def test_the_order_of_files_does_not_matter_but_their_names_do():
    a, b = {"model.py": "x = 1", "imwg.py": "y = 2"}, {"imwg.py": "y = 2", "model.py": "x = 1"}
    assert code_hash(a) == code_hash(b) != code_hash({"model.py": "x = 1", "other.py": "y = 2"})


# loading ---------------------------------------------------------------------------------------------------------


def test_a_model_loads_by_name_folder_and_file(copied):
    named = load_model("theophylline")
    assert (
        named
        == load_model(copied)
        == load_model(str(copied / "model.py"))
        == load_model(models_folder() / "theophylline")
    )
    assert hash(named) == hash(load_model(copied))


def test_changing_a_number_makes_another_model_and_changing_a_comment_does_not(copied):
    before = load_model("theophylline")
    assert load_model(edit(copied, "# exact for any", "# exact at any")) == before
    changed = load_model(edit(copied, "median=1.5", "median=1.6"))
    assert changed != before and changed.parameters[0].typical.median == 1.6


def test_a_model_may_import_its_neighbours(copied):
    (copied / "numbers_of.py").write_text("KA = 1.75\n", encoding="utf-8")
    text = (copied / "model.py").read_text(encoding="utf-8").replace("median=1.5", "median=KA")
    (copied / "model.py").write_text(text.replace("\ndef initial", "\nfrom .numbers_of import KA\n\n\ndef initial", 1))
    first = load_model(copied)
    assert first.parameters[0].typical.median == 1.75
    (copied / "numbers_of.py").write_text("KA = 1.85\n", encoding="utf-8")
    assert load_model(copied) != first and load_model(copied).parameters[0].typical.median == 1.85


def test_only_neighbours_that_the_model_imports_belong_to_its_hash(copied):
    """Directly, through another neighbour, and inside a function; a posterior outlives a change of the others."""
    before = load_model(copied)
    (copied / "coding.py").write_text("LIMIT = 5\n", encoding="utf-8")
    assert load_model(copied) == before and load_model(copied).hash == before.hash
    (copied / "inner.py").write_text("KA = 1.75\n", encoding="utf-8")
    (copied / "outer.py").write_text("def ka():\n    from .inner import KA\n    return KA\n", encoding="utf-8")
    text = (copied / "model.py").read_text(encoding="utf-8").replace("median=1.5", "median=outer.ka()")
    (copied / "model.py").write_text(text.replace("\ndef initial", "\nfrom . import outer\n\n\ndef initial", 1))
    first = load_model(copied)
    assert first != before and first.parameters[0].typical.median == 1.75
    (copied / "coding.py").write_text("LIMIT = 6\n", encoding="utf-8")
    assert load_model(copied) == first
    (copied / "inner.py").write_text("KA = 1.85\n", encoding="utf-8")
    assert load_model(copied) != first


def test_the_shipped_posterior_belongs_to_the_shipped_model():
    from bayestwin.population import load_population

    assert load_population(model_folder("myeloma_car_t") / "population.nc").model == load_model("myeloma_car_t")


def test_a_part_of_a_model_is_a_neighbour_by_name_as_it_now_stands(copied):
    assert model_part(load_model(copied), "coding") is None
    (copied / "limits.py").write_text("LIMIT = 5\n", encoding="utf-8")
    (copied / "coding.py").write_text("from .limits import LIMIT\n", encoding="utf-8")
    model = load_model(copied)
    assert model_part(model, "coding").LIMIT == 5 and model_part(load_model("theophylline"), "coding") is None
    assert model_part(replace(model, steps=None, source_hash=""), "coding").LIMIT == 5
    (copied / "limits.py").write_text("LIMIT = 6\n", encoding="utf-8")
    assert model_part(load_model(copied), "coding").LIMIT == 6
    (copied / "coding.py").write_text("1 / 0\n", encoding="utf-8")
    with pytest.raises(ModelError, match="theophylline: coding.py stopped with ZeroDivisionError"):
        model_part(load_model(copied), "coding")


def test_a_model_sent_elsewhere_takes_its_parts_along(copied, monkeypatch):
    from bayestwin.specification import load

    (copied / "coding.py").write_text("LIMIT = 5\n", encoding="utf-8")
    sent = pickle.dumps(load_model(copied))
    shutil.rmtree(copied)
    monkeypatch.setattr(load, "_loaded", {})
    assert model_part(pickle.loads(sent), "coding").LIMIT == 5


def test_scripts_beside_a_model_are_no_part_of_it(copied):
    before = load_model(copied).hash
    (copied / "make_population.py").write_text("raise SystemExit('not now')\n", encoding="utf-8")
    assert load_model(copied).hash == before


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(ModelError, match="no such model.*'aspirin'.*myeloma_car_t.*theophylline.*model.py"):
        load_model("aspirin")


@pytest.mark.parametrize(
    "text, said",
    [
        ("model = (\n", "model.py line 1: the model file is not Python"),
        ("x = 1\n", "defines no `model`.*End the file with model = Model"),
        ("1 / 0\n", "stopped with ZeroDivisionError: division by zero"),
        (
            "from bayestwin.specification import *\nHalfNormal(sd=0)\n",
            "model.py line 2: HalfNormal needs a positive sd",
        ),
        ("x = 1\n\nsum('a')\n", "model.py line 3: model.py stopped with TypeError"),
        ("# 5 \xb5g\n", r"model.py line 1: the model file is not UTF-8 \(found b'.xb5'\)"),
        ("x = 1\x00\n", "the model file is not Python.*null bytes"),
    ],
)
def test_a_model_file_that_does_not_work_says_where_and_why(tmp_path, text, said):
    (tmp_path / "model.py").write_text(text, encoding="latin-1")
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path)
    assert re.search(said, str(caught.value), flags=re.S)


# pickling and equality -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["theophylline", "myeloma_car_t"])
def test_a_pickled_model_comes_back_equal_and_carries_text_not_functions(name):
    model = load_model(name)
    sent = pickle.dumps(model)
    assert b"def vector_field" in sent and b"cloudpickle" not in sent
    back = pickle.loads(sent)
    assert back == model and back.hash == model.hash and hash(back) == hash(model)


def test_a_worker_without_the_folder_rebuilds_the_model(copied, monkeypatch):
    from bayestwin.specification import load

    sent = pickle.dumps(load_model(edit(copied, "median=2.8", "median=2.9")))
    shutil.rmtree(copied)
    monkeypatch.setattr(load, "_loaded", {})
    back = pickle.loads(sent)
    assert back.parameters[1].typical.median == 2.9 and back.parameters[1].name == "CL"


SENT = """
import glob, multiprocessing, pickle, sys, tempfile
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
    pool.submit(pickle.loads, bytes.fromhex(sys.argv[1])).result()  # and back: unpickled here too
    print(len(glob.glob(tempfile.gettempdir() + "/bayestwin_model_*")))
"""


def test_processes_that_were_sent_a_model_leave_no_folder_behind(copied, tmp_path):
    sent = pickle.dumps(load_model(edit(copied, "median=2.8", "median=2.6")))
    (tmp_path / "temporary").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    said = subprocess.check_output([sys.executable, "-c", SENT, sent.hex()], env=environment, text=True)
    assert said.split() == ["2"]
    assert list((tmp_path / "temporary").glob("bayestwin_model_*")) == []


def test_a_model_is_pickled_as_it_was_loaded_even_if_its_file_has_changed_since(copied):
    model = load_model(edit(copied, "median=2.8", "median=2.7"))
    edit(copied, "median=2.7", "median=3.3")
    assert pickle.loads(pickle.dumps(model)).parameters[1].typical.median == 2.7


def test_a_model_changed_in_a_notebook_is_not_sent_as_the_one_on_disk():
    changed = replace(load_model("theophylline"), steps=None, source_hash="")
    assert changed != load_model("theophylline")
    with pytest.raises(ModelError, match="does not have the hash it was sent with"):
        pickle.loads(pickle.dumps(changed))
    with pytest.raises(ModelError, match="only a model loaded from a folder can be pickled.*load_model"):
        pickle.dumps(replace(changed, folder=""))


def test_models_are_equal_by_hash_and_to_nothing_else():
    theophylline, myeloma = load_model("theophylline"), load_model("myeloma_car_t")
    assert theophylline != myeloma and theophylline != "theophylline"
    assert len({theophylline, myeloma, load_model("theophylline")}) == 2


# printing and schema ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["theophylline", "myeloma_car_t"])
def test_printing_a_model_shows_every_prior_unit_and_treatment(name):
    model, text = load_model(name), str(load_model(name))
    for p in model.parameters:
        line = next(line for line in text.splitlines() if line.startswith(f"  {p.name} "))
        for part in (p.unit or "-", p.scale, str(p.typical), p.source, p.mark, str(p.between or "same for all")):
            assert part in line, (p.name, part)
    effects = [f"{effect_name}  " in text and str(effect) in text for effect_name, _, effect in model.effects]
    residuals = [f"{k} {v}" in text for k, v in model.residual_parameters.items()]
    rest = [o.unit in text and f"{o.plausible[1]:g}" in text for o in model.observations]
    rest += [t.label in text and t.evidence in text for t in model.treatments]
    rest += [str(rule) in text for t in model.treatments for rule in t.eligibility]
    assert all((*effects, *residuals, *rest))
    assert model.hash[:12] in text and model.time_unit in text
    if model.drift:
        assert f"SD {model.drift[0].sd}" in text and f"rho = {model.response_correlation.rho:g}" in text
    if model.correlation:
        assert str(model.correlation) in text


def test_the_schema_tells_the_readers_units_ranges_routes_and_covariates():
    schema = load_model("theophylline").record_schema()
    assert (schema.model, schema.time_unit, schema.dose_unit) == ("theophylline", "h", "mg")
    assert schema.routes == {"oral": "depot", "iv": "central"} and schema.compartments == ("depot", "central")
    assert schema.labs["concentration"].unit == "mg/L" and schema.labs["concentration"].plausible == (0.0, 60.0)
    assert schema.covariates == {"weight_kg": "kg"}


def test_the_schema_knows_covariates_of_effects_and_of_eligibility():
    schema = load_model("myeloma_car_t").record_schema()
    assert {"isotype", "age_years", "sex", "prior_bcma", "prior_lines", "anti_cd38_refractory"} <= set(
        schema.covariates
    )
    assert schema.covariates["age_years"] == "year"
    assert schema.labs["transgene"].scale == "ln" and schema.labs["m_protein"].scale == "natural"
    assert load_model("myeloma_car_t").offered == ("ide_cel", "cilta_cel", "teclistamab", "dara_pd")
    assert len(schema.treatments) == 21 and {"elranatamab", "krd", "observation"} <= set(schema.treatments)


# eligibility -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule, value, inside",
    [
        (Eligibility("prior_lines", minimum=2, maximum=4), 2, True),
        (Eligibility("prior_lines", minimum=2, maximum=4), 4.0, True),
        (Eligibility("prior_lines", minimum=2, maximum=4), 5, False),
        (Eligibility("prior_lines", minimum=2, maximum=4), 1, False),
        (Eligibility("prior_lines", minimum=3), 12, True),
        (Eligibility("prior_bcma", equals=0), 0, True),
        (Eligibility("prior_bcma", equals=0), 0.0, True),
        (Eligibility("prior_bcma", equals=0), "0", True),
        (Eligibility("prior_bcma", equals=0), False, True),
        (Eligibility("prior_bcma", equals=0), 1, False),
        (Eligibility("isotype", equals="IgG"), "IgA", False),
        (Eligibility("prior_lines", minimum=3), None, None),
        (Eligibility("prior_lines", minimum=3), float("nan"), None),
        (Eligibility("prior_bcma", equals=0), float("nan"), None),
    ],
)
def test_a_patient_is_inside_the_evidence_outside_it_or_unknown(rule, value, inside):
    assert rule.check({rule.covariate: value}) is inside
    assert rule.check({}) is None


def test_an_eligibility_rule_reads_as_it_is_meant():
    assert str(Eligibility("prior_lines", minimum=2, maximum=4)) == "2 <= prior_lines <= 4"
    assert str(Eligibility("isotype", equals="IgG")) == "isotype = IgG"
    assert str(Eligibility("prior_bcma", equals=0, text="no prior BCMA therapy")) == "no prior BCMA therapy"
