"""A twin that is killed while it follows a patient, and taken up again by a new process from its last file.

`killed_and_resumed` starts `python -m bayestwin.jobs.killed FOLDER` twice. The first process saves the twin after every
panel and is killed (SIGKILL) right after one of them; the second knows nothing but the folder and goes on to the end.

    FOLDER/population.nc, record.json, settings.json      what a process needs to begin
    FOLDER/twin_0003.nc                                    the twin after three panels
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from bayestwin.errors import FitError
from bayestwin.evaluation.verification.follow import follow
from bayestwin.population import load_population
from bayestwin.twin import Twin, load_twin, save_twin
from bayestwin.twin.save import record_from_json


def killed_and_resumed(population, record, *, stop_after: int, random_seed: int, **sizes) -> Twin:
    """The twin at the end of a record, followed by a process that was killed and one that carried on.

    Raises
    ------
    FitError      the second process did not reach the end
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        population.save(folder / "population.nc")
        settings = {"model": population.model.folder, "stop_after": stop_after, "random_seed": random_seed} | sizes
        (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        (folder / "record.json").write_text(json.dumps(asdict(record)), encoding="utf-8")
        _process(folder, stop_after)
        if len(_saved(folder)) != stop_after + 1:
            raise FitError(
                "the process that was to be killed ended otherwise",
                subject=f"patient {record.key}",
                value=f"{len(_saved(folder))} twins saved",
                allowed=f"{stop_after + 1}",
            )
        code = _process(folder)
        if code:
            raise FitError(
                "the process that was to carry on failed", subject=f"patient {record.key}", value=f"exit code {code}"
            )
        return load_twin(_saved(folder)[-1], population.model)


def carry_on(folder: Path, stop_after: int | None = None) -> None:
    """Follow the patient of a folder from its newest twin; with `stop_after` this process dies after that panel."""
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    population = load_population(folder / "population.nc", settings["model"])
    record = record_from_json(json.loads((folder / "record.json").read_text(encoding="utf-8")))
    sizes = {name: settings[name] for name in ("particles", "islands", "population_draws")}
    saved = _saved(folder)
    learnt = len(saved) - 1
    newest = load_twin(saved[-1], population.model) if saved else None
    course = follow(
        population, record, random_seed=settings["random_seed"], learnt=max(learnt, 0), twin=newest, **sizes
    )
    for number, twin in enumerate(course, start=learnt + 1):
        save_twin(twin, folder / f"twin_{number:04d}.nc")
        if number == stop_after:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def _process(folder: Path, stop_after: int | None = None) -> int:
    """Exit code of a process that carries on in this folder; what it says is of no interest."""
    words = [str(folder)] if stop_after is None else [str(folder), str(stop_after)]
    call = [sys.executable, "-m", "bayestwin.jobs.killed", *words]
    return subprocess.run(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


def _saved(folder: Path) -> list[Path]:
    return sorted(folder.glob("twin_????.nc"))


if __name__ == "__main__":
    carry_on(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
