"""Mistakes in a model folder of one's own: the message names the mistake, and blames neither program nor data."""

import pytest
from test_patient_commands import run

MODEL = """import jax.numpy as jnp
from bayestwin.specification import Additive, Fixed, HalfNormal, LogNormal, Model, Observation, Parameter


def vector_field(t, y, p, u):
    return {"central": -p.CL / p.V * y.central}


def concentration(t, y, p, u):
    return y.central / p.V


ANY = LogNormal(median=3, sd_log=0.5)
model = Model(
    name="own", time_unit="h", dose_unit="mg", states=("central",), routes={"iv": "central"},
    initial_state=lambda p: {"central": 0.0}, vector_field=vector_field, outputs={"concentration": concentration},
    parameters=tuple(Parameter(name, unit="L", scale="log", typical=ANY) for name in ("CL", "V")),
    observations=(Observation("concentration", unit="mg/L", error=Additive(sd=HalfNormal(sd=1)), plausible=(0, 99)),),
)
"""


def simulate(folder, was, now):
    """`simulate` of the model above with one mistake."""
    assert MODEL.count(was) == 1
    (folder / "own").mkdir()
    (folder / "own" / "model.py").write_text(MODEL.replace(was, now), encoding="utf-8")
    (folder / "values.csv").write_text("parameter,value\nCL,3\nV,30\n", encoding="utf-8")
    table = "ID,TIME,EVID,AMT,CMT\n1,0,1,100,1\n1,2,0,0,1\n2,0,1,100,1\n2,2,0,0,1\n"
    (folder / "events.csv").write_text(table, encoding="utf-8")
    given = ("--parameters", folder / "values.csv", "--events", folder / "events.csv", "--out", folder / "out.csv")
    return run("simulate", "--model", folder / "own", *given)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("-p.CL", "-p.Cl", "the model file reads an unknown name (found 'Cl'), expected CL, V."),
        ("* y.central", "* y.centre", "the model file reads an unknown name (found 'centre'), expected central."),
        (
            "return y.central / p.V",
            "return np.exp(y.central)",
            "The model file stopped with NameError at model.py line 10, in concentration: return np.exp(y.central)",
        ),
        (
            "return y.central / p.V",
            "return y.central / float(p.V)",
            "at model.py line 10, in concentration: return y.central / float(p.V)",
        ),
    ],
)
def test_a_slip_in_a_function_of_the_model_is_shown_where_it_stands(tmp_path, was, now, said):
    answer = simulate(tmp_path, was, now)
    assert answer.exit_code == 2, answer.output  # of two IDs neither is to blame: it is said once
    assert answer.output.count(said) == 1 and "fault in bayestwin" not in answer.output
    assert "not simulated" not in answer.output and "at model.py line " in answer.output
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "out.csv").exists()


def test_the_model_without_a_slip_is_simulated(tmp_path):
    answer = simulate(tmp_path, "return y.central / p.V", "return y.central / p.V + 0")
    assert answer.exit_code == 0, answer.output
    assert (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("where", ["loading", "solving"])
def test_ctrl_c_ends_with_one_line_and_nothing_half_written(tmp_path, where):
    was, now = {
        "loading": ("ANY = LogNormal(", "raise KeyboardInterrupt\nANY = LogNormal("),
        "solving": ("    return y.central / p.V", "    raise KeyboardInterrupt"),
    }[where]
    answer = simulate(tmp_path, was, now)
    assert answer.exit_code == 130
    assert answer.output == "Stopped by Ctrl-C: what was being made was not written.\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.csv", "own", "values.csv"]
