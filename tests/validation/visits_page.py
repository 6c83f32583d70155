"""The page of follow-up that depends on how the patient does, made of the lines that runs have left.

    python tests/validation/visits_page.py --work FOLDER --write docs/validation/informative_visits.md

Lines of twins (`informative_visits.py`) and of exact posteriors (`exact_posteriors.py`) make the same tables. What the
page says under its last heading is written by hand and kept.
"""

import argparse
import sys
from datetime import date
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent)]

import exact_posteriors  # noqa: E402
import numpy as np  # noqa: E402
from informative_visits import EVERY, LEVELS, MECHANISMS, MODELS, SIZES, STRENGTHS, lines_in  # noqa: E402

FEWEST = 20.0  # effective courses under which a patient is left out
HAND = "## What it says, and what not"


def interval(values) -> str:
    """Mean with its 95 % interval, in points of 100."""
    values = np.asarray(values, float)
    if len(values) < 5:
        return "too few"
    mean, error = 100 * values.mean(), 196 * values.std(ddof=1) / np.sqrt(len(values))
    return f"{mean:+.1f} ({mean - error:+.1f} to {mean + error:+.1f})"


def beyond_ignorable(rows, plain: dict, k: int) -> str:
    """Mean error of the chance less that under ignorable visits, with its 95 % interval, points of 100.

    Each among those followed under its own mechanism; patients, who are the same in both, are drawn again.
    """
    if len(rows) < 5 or len(plain) < 5:
        return "too few"
    mine = {r["patient"]: r for r in rows}
    names = sorted({*mine, *plain})
    errors = 100 * np.array(
        [[of[n]["chance"][k][0] - of[n]["truth"][k] if n in of else np.nan for n in names] for of in (mine, plain)]
    )
    drawn = np.random.default_rng(1).integers(len(names), size=(2000, len(names)))
    found = np.nanmean(errors[0, drawn], axis=1) - np.nanmean(errors[1, drawn], axis=1)
    low, high = np.quantile(found, [0.025, 0.975])
    return f"{np.nanmean(errors[0]) - np.nanmean(errors[1]):+.1f} ({low:+.1f} to {high:+.1f})"


def covered(pits) -> str:
    """How many of 100 lie in the central 50, 80 and 90 % range, with twice the standard error of the middle one."""
    pits = np.asarray(pits, float)
    if len(pits) < 5:
        return "too few"
    shares = [np.mean(np.abs(pits - 0.5) <= level / 2) for level in LEVELS]
    error = 100 * 1.96 * np.sqrt(0.16 / len(pits))
    return ", ".join(f"{100 * s:.0f}" for s in shares) + f" (± {error:.0f})"


def table_of(rows, months) -> list[str]:
    """A line per mechanism: how many, coverage of the next lab and of the chances, error of the chance, and that less
    the error under ignorable visits."""
    lines = []
    plain = {r["patient"]: r for r in rows if r["mechanism"] == MECHANISMS[0].name and "truth" in r}
    for mechanism in (m.name for m in MECHANISMS):
        every = [r for r in rows if r["mechanism"] == mechanism]
        mine = [r for r in every if r.get("passed")]
        pits = [r["next"][0] for r in mine if r.get("next") and r["next"][0] is not None]
        cells = [
            mechanism,
            f"{len(mine)} of {len(every)}",
            f"{len(pits)}",
            covered(pits),
            f"{np.mean(pits):.2f}" if pits else "",
        ]
        for k in range(len(months)):
            asked_of = [r for r in mine if "truth" in r]
            cells += [
                covered([r["pit"][k][0] for r in asked_of]),
                interval([r["chance"][k][0] - r["truth"][k] for r in asked_of]),
                "" if mechanism == MECHANISMS[0].name else beyond_ignorable(asked_of, plain, k),
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def link_table(rows, k: int, links) -> list[str]:
    """A line per mechanism and link: coverage and error of the chance with the link modelled, how far it moves."""
    lines = []
    for mechanism in (m.name for m in MECHANISMS[:2]):
        for b, link in enumerate(links):
            mine = [r for r in rows if r["mechanism"] == mechanism and "truth" in r and r["chance"][0][b] is not None]
            pits = [r["next"][b] for r in mine if r.get("next") and r["next"][b] is not None]
            moved = np.array([100 * (r["chance"][k][b] - r["chance"][k][0]) for r in mine])
            far = f"{moved.mean():+.1f}; {np.quantile(np.abs(moved), 0.9):.1f}" if len(moved) else ""
            error = interval([r["chance"][k][b] - r["truth"][k] for r in mine])
            cells = [
                mechanism,
                link if isinstance(link, str) else f"{link:g}",
                str(len(mine)),
                covered(pits),
                covered([r["pit"][k][b] for r in mine]),
                error,
                far,
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def exact_lines(file: Path, fewest: float = FEWEST) -> list[dict]:
    """Lines of exact posteriors; without a number, under each link, where fewer effective courses than `fewest` are."""
    rows = lines_in(file)
    for row in rows:
        if row["followed"]:
            fine = [ess >= fewest for ess in row["ess"]]
            row["passed"] = fine[0]
            if not fine[0]:
                row.pop("truth", None)
            for what in ("chance", "pit"):
                row[what] = [blanked(values, fine) for values in row.get(what, ())]
            row["next"] = row["next"] and blanked(row["next"], fine)
    return rows


def blanked(values, fine) -> list:
    """Values, None where they are not fine; one value stands for the first link alone."""
    return [v if good else None for v, good in zip(values, fine)] + [None] * (len(exact_posteriors.LINKS) - len(values))


def threshold_table(file: Path, landmarks) -> list[str]:
    """Who is left out, and whether that makes the difference: errors beyond ignorable visits, by threshold."""
    lines = []
    for landmark in landmarks:
        for fewest in (10.0, FEWEST, 100.0):
            rows = [r for r in exact_lines(file, fewest) if r["landmark"] == landmark and r["followed"]]
            by = {m.name: [r for r in rows if r["mechanism"] == m.name] for m in MECHANISMS}
            kept = {name: [r for r in mine if "truth" in r] for name, mine in by.items()}
            shares = [f"{100 * np.mean([r['passed'] for r in mine]):.0f}" for mine in by.values()]
            plain, linked = ({r["patient"]: r for r in kept[m.name]} for m in MECHANISMS[:2])
            both = plain.keys() & linked.keys()
            cells = [f"{landmark:g}", f"{fewest:g}", ", ".join(shares)]
            cells += [beyond_ignorable(kept[m.name], plain, 0) for m in MECHANISMS[1:]]
            alike = [linked[n]["chance"][0][0] - plain[n]["chance"][0][0] for n in sorted(both)]
            lines.append("| " + " | ".join([*cells, interval(alike)]) + " |")
    return lines


def head() -> list[str]:
    """What the page is made of, and how to read it."""
    return [
        "# Follow-up that depends on how the patient does",
        "",
        "Made by `python tests/validation/visits_page.py --work FOLDER --write docs/validation/informative_visits.md` "
        "from",
        "runs of `informative_visits.py --model relapsing --patients 400` and `--model censored --patients 100` "
        "(twins) and of",
        f"`exact_posteriors.py --model myeloma_car_t` (exact posteriors) beside it, on {date.today().isoformat()}.",
        f"All patients are simulated from the population the twin starts from; a visit every {EVERY:g} days on "
        "average, the first at the start.",
        "Every mechanism has the same luck as ignorable visits. Coverage: central 50, 80, 90 % ranges, of 100, with "
        "the 95 % limits of the 80.",
        "The chance is compared with that of the patient's true parameters, in those who are still followed: chance "
        "minus truth, points of 100,",
        "with its 95 % interval; then that less the same under ignorable visits (bootstrap of patients).",
        "The twin takes visits and ends as ignorable.",
        *(
            f"{m.name}: visits {m.visits:g} per unit of ln marker, next therapy {30 * m.next_therapy:g} a month once "
            f"half way, drop-out {30 * m.drop_out:.2g} a month, power {m.unfit:g} of the patient's hazard."
            for m in MECHANISMS[1:]
        ),
    ]


def section(name: str, work: Path) -> list[str]:
    """Everything of one model; nothing without lines."""
    file = work / f"{name}_exact.jsonl"
    exact = file.is_file()
    rows = exact_lines(file) if exact else lines_in(work / f"{name}.jsonl")
    if not rows:
        return []
    months = next((r["months"] for r in rows if "months" in r), [])
    landmarks = exact_posteriors.LANDMARKS if exact else MODELS[name][0]
    heads = " | ".join(f"S({m}): coverage | chance minus truth | minus ignorable" for m in months)
    lines = ["", f"## {name}: {len({r['patient'] for r in rows})} patients{', exact posteriors' if exact else ''}", ""]
    lines += [
        f"Patients with fewer than {FEWEST:g} effective courses are left out."
        if exact
        else f"{SIZES[name]['particles']:,} particles over {SIZES[name]['population_draws']} population draws."
    ]
    for landmark in landmarks:
        part = [r for r in rows if r["landmark"] == landmark]
        lines += [
            "",
            f"Day {landmark:g}",
            "",
            f"| mechanism | still followed | next labs | coverage of the next lab | its mean PIT | {heads} |",
            "|---|---|---|---|---|" + "---|---|---|" * len(months),
            *table_of(part, months),
        ]
    links = exact_posteriors.LINKS if exact else STRENGTHS
    lines += [
        "",
        f"Link between marker and visit rate modelled, all landmarks, S({months[-1]}):",
        "",
        "| visits simulated | strength modelled | n | coverage of the next lab | coverage of S | "
        "chance minus truth | chance moves by: mean; 9 of 10 within |",
        "|---|---|---|---|---|---|---|",
        *link_table(rows, len(months) - 1, links),
    ]
    return lines + (of_exclusion(file, landmarks) if exact else of_failures(rows))


def of_failures(rows) -> list[str]:
    """Twins that failed."""
    failed = sum(r["followed"] and not r.get("passed") for r in rows)
    return ["", f"{failed} twins of patients still followed failed their check and are left out."]


def of_exclusion(file: Path, landmarks) -> list[str]:
    """Whether those who are left out make the difference."""
    heads = " | ".join(f"{m.name}: S(6) minus ignorable" for m in MECHANISMS[1:])
    return [
        "",
        "Does it matter who is left out? Other thresholds: patients kept under the four mechanisms, of 100 still "
        "followed; chance minus truth",
        "less that under ignorable visits; last, in patients kept under both, the chance itself less that under "
        "ignorable visits.",
        "",
        f"| day | at least | kept | {heads} | {MECHANISMS[1].name}: S(6) itself, same patients |",
        "|---|---|---|" + "---|" * len(MECHANISMS),
        *threshold_table(file, landmarks),
    ]


def page(work: Path, by_hand: str) -> str:
    """The page of everything in the work folder."""
    lines = [*head(), *(line for name in MODELS for line in section(name, work)), "", by_hand]
    return "\n".join(lines)


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    old = given.write.read_text(encoding="utf-8") if given.write and given.write.is_file() else ""
    text = page(given.work, old[old.index(HAND) :] if HAND in old else "")
    print(text)
    if given.write:
        given.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
