"""Follow-up that depends on how the patient does, by exact posteriors: no sampler, hundreds of patients.

    python tests/validation/exact_posteriors.py --model myeloma_car_t --patients 1000 --work FOLDER
    python tests/validation/exact_posteriors.py --model myeloma_car_t --patients 1000 --twins 8 --work FOLDER

What follow-up does to a forecast is a question about the likelihood. A twin of myeloma costs a minute; here every
patient is weighed against one pool of courses of the population (`course_pool.py`), and asked what
`informative_visits.py` asks of twins, by the same coding of events as a forecast:

    next lab       PIT in the predictive, a lab below its limit at a random place under it
    S(6), S(12)    the true course's chance to be progression-free, among those of the courses
    links          the same with the visit times in the likelihood: strengths of the program's sensitivity analysis, the
                   wrong sign, and the process that the visits were truly simulated by, which must mend what it does

Patients with fewer than `FEWEST` effective courses are left out, a choice that rests on what was known and so leaves
the calibration of the others as it is. Every patient leaves lines in FOLDER and is not asked again; `--twins` compares
the chances with those of twins, in so many of the patients. `visits_page.py` makes the page of the lines.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

sys.path[:0] = [str(Path(__file__).resolve().parent)]

import course_pool  # noqa: E402
import informative_visits as page  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
from course_pool import Patient, Pool, Posterior, chunk, cohorts, effective, normalised, pool_of  # noqa: E402

from bayestwin.evaluation.verification.calibration import pit  # noqa: E402
from bayestwin.evaluation.visit_mechanisms import LEAST, MOST, Courses  # noqa: E402
from bayestwin.evaluation.visit_sensitivity import visit_log_likelihood  # noqa: E402
from bayestwin.prognosis.assessments import marker_history, visit_times  # noqa: E402
from bayestwin.prognosis.endpoint import draw_noise, events_seen, seen_of  # noqa: E402
from bayestwin.prognosis.progressed import progressed_already  # noqa: E402
from bayestwin.prognosis.rises import exceeds  # noqa: E402
from bayestwin.units import convert  # noqa: E402

AS_SIMULATED = "as simulated"
LINKS = (*page.STRENGTHS, -1.0, AS_SIMULATED)
LANDMARKS = (90.0, 180.0)


def months_of(model) -> tuple[float, ...]:
    """The landmarks of a forecast up to a year."""
    return tuple(m for m in model.progression.landmarks_months if m <= 12)


def chances(patient: Patient, at, known, landmark: float, rng) -> np.ndarray:
    """S(h) of the courses `at`, coded as a forecast codes them, (n, months)."""
    pool, model = patient.pool, patient.pool.model
    endpoint, rule, per_month = model.progression, rule_of(model, known), convert(1.0, "month", model.time_unit)
    marks = [m * per_month for m in months_of(model)]
    visits = visit_times(endpoint, 0.0, max(marks))
    latent = np.stack([patient.predicted(rule.output, landmark + t, at) for t in visits], axis=1)
    hazards = np.stack([pool.between(pool.hazards, landmark + t, at) for t in (0.0, *visits)]).transpose(2, 0, 1)
    noise = draw_noise(model, rule, rng, len(at), len(visits))
    seen = seen_of(model, rule.output, latent, pool.sigma[at], noise.assay)
    history = marker_history(model, rule, known, in_force(known), landmark)
    how = {"history": history, "start": 0.0, "landmarks": marks, "luck": noise.luck, "ways": False}
    return events_seen(model, rule, endpoint, seen, hazards[:, 1:] - hazards[:, :1], visits, **how).survival


def rule_of(model, record):
    """The progression rule of a patient."""
    return model.progression.rule_for(record.covariates)


def in_force(known):
    """What coding needs of the plan of a treatment that began at time zero and goes on."""
    return SimpleNamespace(new=False, start=0.0, record=known)


class Middle:
    """What the simulated visit process is measured by: the middle ln marker of the cohort and its mean rate."""

    def __init__(self, courses: Courses, strength: float):
        model = courses.model
        rule = model.progression.rule_for(courses.covariates)
        marker = np.maximum(courses.outputs[:, :, model.observation_index[rule.output]], 1e-6)
        before = ~np.maximum.accumulate(exceeds(rule, marker, np.minimum.accumulate(marker, axis=1)), axis=1)
        self.strength, self.x, self.rate = strength, np.log(marker)[before].mean(), 1.0
        self.rate = float(self.relative(marker)[before].mean())

    def relative(self, marker) -> np.ndarray:
        """Visit rate over its mean, as `visit_mechanisms` simulates it."""
        x = np.log(np.maximum(marker, 1e-6))
        return np.clip(np.exp(self.strength * (x - self.x)), LEAST, MOST) / self.rate

    def log_likelihood(self, marker, visited, step: float, every: float) -> np.ndarray:
        """ln p of a visit or none at every grid point but the first; marker (n, V), visited (V,)."""
        chance = np.minimum(self.relative(marker[:, 1:]) * step / every, 1.0 - 1e-9)
        return np.where(visited[1:], np.log(chance), np.log1p(-chance)).sum(axis=1)


def link_gains(patient: Patient, at, known, landmark: float, middle: Middle) -> dict:
    """ln p(visit times | course) of the courses `at` under every link."""
    pool, output = patient.pool, rule_of(patient.pool.model, known).output
    visits = np.unique([lab.time for lab in known.labs if lab.output == output])
    grid = np.arange(int(landmark // pool.step) + 1) * pool.step
    times = np.unique([*grid, landmark])
    marker = np.maximum(np.stack([patient.predicted(output, t, at) for t in times], axis=1), 1e-6)
    gains = {b: np.zeros(len(at)) for b in LINKS}
    if len(visits) > 1:
        for b in LINKS[1:-1]:
            gains[b] = visit_log_likelihood(marker, times, visits, b)
    own = middle.log_likelihood(marker[:, : len(grid)], np.isin(grid, visits), pool.step, page.EVERY)
    return gains | {AS_SIMULATED: own}


def asked(patient: Patient, own: Patient, n: int, known, landmark: float, middle: Middle, links: bool) -> tuple:
    """The exact posterior of one patient at one landmark, as a line of `informative_visits.py`, and its weights."""
    rng = np.random.default_rng([course_pool.SEED, n, int(landmark)])
    found = patient.posterior(known, landmark, rng)
    row = {"visits": len({lab.time for lab in known.labs}), "courses": found.ess}
    weights = [found.weights]
    if links:
        log_weights = np.log(found.weights)
        gains = link_gains(patient, found.at, known, landmark, middle)
        weights += [normalised(log_weights + gains[b]) for b in LINKS[1:]]
    row["ess"] = [found.ess, *(min(effective(w), found.ess) for w in weights[1:])]
    model = patient.pool.model
    as_twin = SimpleNamespace(model=model, record=known, time=landmark)
    if progressed_already(as_twin, rule_of(model, known), in_force(known)):
        return found, weights, row | {"refused": True}
    values = chances(patient, found.at, known, landmark, rng)
    truth = chances(own, [n], known, landmark, rng)[0]
    row |= {"months": list(months_of(model)), "truth": truth.tolist()}
    row["chance"] = [[float(w @ values[:, k]) for w in weights] for k in range(len(truth))]
    row["pit"] = [[pit(values[:, k], w, truth[k], rng) for w in weights] for k in range(len(truth))]
    return found, weights, row


def next_lab(patient: Patient, found: Posterior, weights, lab, n: int) -> dict:
    """PIT of the next lab of the marker under every link, and the chance to be below it."""
    rng = np.random.default_rng([course_pool.SEED, n, int(lab.time), 9])
    share = rng.random() if lab.censoring == "left" else 1.0
    below = np.exp(patient.of_lab(lab, "limit"))[found.at]
    chance = [float(w @ below) for w in weights]
    return {"next": [share * c for c in chance], "below": chance[0]}


def lines_of(n: int, pool: Pool, own: Patient, followed: dict, landmarks, middle: Middle):
    """Every line of one patient: each mechanism at each landmark; records that are alike are weighed once."""
    patient = Patient(pool, next(iter(followed.values()))[n].record, np.random.default_rng([course_pool.SEED, n]))
    linked = [m.name for m in page.MECHANISMS[:2]]
    weighed: dict = {}
    for landmark in landmarks:
        for name, found in followed.items():
            about = {"patient": n, "mechanism": name, "landmark": landmark}
            if found[n].end <= landmark:
                yield about | {"followed": False, "ended": found[n].ended}
                continue
            known = page.known_alive(found[n].record, landmark)
            key = (known.labs, known.events, landmark)
            if key not in weighed:
                weighed[key] = asked(patient, own, n, known, landmark, middle, name in linked)
            posterior, weights, row = weighed[key]
            output = rule_of(pool.model, known).output
            lab = next((x for x in found[n].record.labs if x.output == output and x.time > landmark), None)
            more = next_lab(patient, posterior, weights, lab, n) if lab else {"next": None}
            yield about | {"followed": True} | row | more


def run(name: str, patients: int, chunks: int, work: Path) -> None:
    """Every patient that has no lines yet."""
    file = work / f"{name}_exact.jsonl"
    done = {r["patient"] for r in page.lines_in(file)}
    population, pool, own, first = made(name, chunks, work)
    followed = cohorts(population.model, name, first, page.MECHANISMS)
    linked = next(m for m in page.MECHANISMS if m.visits)
    middle = Middle(course_pool.cohort(population.model, name, first), linked.visits)
    with file.open("a", encoding="utf-8") as out:
        for n in range(patients):
            if n in done:
                continue
            rows = lines_of(n, pool, own, followed, LANDMARKS, middle)
            out.write("".join(json.dumps(row) + "\n" for row in rows))
            out.flush()


def made(name: str, chunks: int, work: Path):
    """The population, the pool, the cohort as a pool of its own whose levels stay, and the cohort's chunk."""
    with tempfile.TemporaryDirectory() as folder:
        population = page.population_of(name, Path(folder))
        first, *others = (chunk(population, name, k, work) for k in range(1 + chunks))
        pool, own = pool_of(population, name, others), pool_of(population, name, [first])
    own = Patient(own._replace(levels={}), SimpleNamespace(labs=()), np.random.default_rng(0))
    return population, pool, own, first


def beside_twins(name: str, twins: int, work: Path) -> None:
    """Chances of so many twins beside the exact ones, under ignorable visits at the last landmark."""
    file, landmark = work / f"{name}_twins.jsonl", LANDMARKS[-1]
    done = {r["patient"] for r in page.lines_in(file)}
    rows = [r for r in page.lines_in(work / f"{name}_exact.jsonl") if r["landmark"] == landmark and "truth" in r]
    wanted = [r for r in rows if r["mechanism"] == page.MECHANISMS[0].name and r["courses"] >= 100][:twins]
    with tempfile.TemporaryDirectory() as folder, file.open("a", encoding="utf-8") as out:
        population = page.population_of(name, Path(folder))
        first = chunk(population, name, 0, work)
        (found,) = cohorts(population.model, name, first, page.MECHANISMS[:1]).values()
        for row in wanted:
            n = row["patient"]
            if n not in done:
                asking = (landmark, page.MODELS[name][2], page.SIZES[name], course_pool.SEED + n)
                twin = page.asked(population, found[n]._replace(truth=None), *asking)
                out.write(json.dumps({"patient": n} | twin) + "\n")
                out.flush()
    print(beside(rows, page.lines_in(file)))


def beside(rows, twins) -> str:
    """Twins minus exact, in points of 100: of the chances without and with the links, and to be below the next lab."""
    exact = {r["patient"]: r for r in rows if r["mechanism"] == page.MECHANISMS[0].name}
    text = [f"{sum(t['passed'] for t in twins)} of {len(twins)} twins passed their check; twins minus exact, of 100:"]
    twins = [t for t in twins if t["passed"] and "chance" in t]
    for k, month in enumerate(twins[0]["months"] if twins else ()):
        for b, strength in enumerate(page.STRENGTHS):
            pairs = [(t["chance"][k][b], exact[t["patient"]]["chance"][k][b]) for t in twins]
            off = 100 * np.array([a - e for a, e in pairs if a is not None])
            text.append(f"S({month}), link {strength:g}: mean {off.mean():+.1f}, largest {np.abs(off).max():.1f}")
    below = [(t["below"][0], exact[t["patient"]].get("below")) for t in twins if t.get("below")]
    off = 100 * np.array([a - e for a, e in below if e is not None])
    return "\n".join([*text, f"below the next lab: mean {off.mean():+.1f}, largest {np.abs(off).max():.1f}"])


def main() -> None:
    """Ask every patient, or lay twins beside them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=[n for n in page.MODELS if n in course_pool.LEVELS], required=True)
    parser.add_argument(
        "--patients", type=int, default=course_pool.COHORT, help=f"the first so many of {course_pool.COHORT:,}"
    )
    parser.add_argument("--twins", type=int, default=0, help="lay so many twins beside patients who have been asked")
    parser.add_argument("--chunks", type=int, default=36, help=f"pool of so many times {course_pool.CHUNK:,} courses")
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    with jax.enable_x64(True):
        if given.twins:
            beside_twins(given.model, given.twins, given.work)
        else:
            run(given.model, given.patients, given.chunks, given.work)


if __name__ == "__main__":
    main()
