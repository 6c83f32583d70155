"""Two schemas built by hand, and a reader of tables written as text in the test."""

import pytest

from bayestwin.labs import LabSpec, RecordSchema
from bayestwin.records import read_records

THEOPHYLLINE = RecordSchema(
    model="theophylline",
    time_unit="h",
    labs={"concentration": LabSpec("concentration", "mg/L", (0.0, 60.0), positive=False)},
    compartments=("depot", "central"),
    routes={"oral": "depot"},
    dose_unit="mg",
    covariates={"weight_kg": "kg"},
)
MYELOMA = RecordSchema(
    model="myeloma",
    time_unit="day",
    labs={
        "m_protein": LabSpec("m_protein", "g/L", (0.0, 120.0)),
        "involved_flc": LabSpec("involved_flc", "mg/L", (0.1, 200_000.0), scale="ln"),
        "transgene": LabSpec("transgene", "copies/ug", (0.0, 1e8), scale="ln"),
        "creatinine": LabSpec("creatinine", "mg/dL", (0.1, 30.0)),
        "response": LabSpec("response", "", (0.0, 5.0), unit_required=False, positive=False),
        "ife_serum": LabSpec(
            "ife_serum", "", (0.0, 1.0), unit_required=False, positive=False, words={"negative": 0.0, "positive": 1.0}
        ),
    },
    compartments=("depot", "central"),
    routes={"iv": "central", "sc": "depot"},
    dose_unit="mg",
    treatments=("ide_cel", "cilta_cel", "teclistamab", "dara_pd"),
    infused=("ide_cel", "cilta_cel"),
    covariates={"weight_kg": "kg", "age_years": "year", "isotype": "", "sex": "", "albumin_g_per_l": "g/L"},
)


@pytest.fixture
def schema():
    return MYELOMA


@pytest.fixture
def theophylline():
    return THEOPHYLLINE


@pytest.fixture
def read(tmp_path):
    """read(labs="patient,time,...\\n...", patients=..., as_of=..., schema=...) -> RecordReading"""

    def read_texts(schema=MYELOMA, **tables):
        options = {k: tables.pop(k) for k in ("as_of", "time_unit", "snapshot", "base") if k in tables}
        for name, text in tables.items():
            path = tmp_path / f"{name}.csv"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            tables[name] = path
        return read_records(schema, **tables, **options)

    return read_texts
