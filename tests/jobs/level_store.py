"""Labs and settings for stores of the level model; shared by the tests of this folder."""

from pathlib import Path

PARTICLES = 800
EPOCH = "1767225600"


def labs_csv(path: Path, patients=4, days=3, more="") -> Path:
    """A labs.csv: one patient after the other, one lab a day, each at its own level."""
    rows = [f"P-{k},{t},m_protein,{20 + 0.5 * k + t / 10},g/L" for k in range(patients) for t in range(1, days + 1)]
    path.write_text("patient,time,output,value,unit\n" + "\n".join(rows) + "\n" + more, encoding="utf-8")
    return path


def settings(model):
    """Of a store for tests."""
    sizes = {"particles": PARTICLES, "islands": 8, "population_draws": 50}
    return {"model_name": model.name, "seed": 1, "sizes": sizes}
