"""How often would a tenfold error of a real lab be noticed, and how often does a true value raise an alarm?

    python tests/validation/tenfold.py predictions.csv [...] [--output psa]

Reads predictions.csv of `bayestwin replay` (log-scaled outputs), takes each forecast as normal on the ln scale with its
mean and SD, and asks for the observed value, ten times it and a tenth of it.
"""

import argparse

import numpy as np
import pandas as pd

from bayestwin.twin.tenfold import ALARM, TENFOLD

WIDEST = 0.45  # predictive log-SD up to which 95 % should be noticed


def alarms(frame, factor: float):
    """True where a value `factor` times the observed would raise an alarm, of either direction."""
    ten = np.log(TENFOLD)
    error = np.log(frame["observed"].to_numpy() * factor) - frame["mean"].to_numpy()
    variance = frame["sd"].to_numpy() ** 2
    return np.maximum(error, -error) * ten / variance - ten**2 / (2.0 * variance) > ALARM


def main():
    """Print one line per file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--output")
    asked = parser.parse_args()
    frame = pd.concat([pd.read_csv(path) for path in asked.files], ignore_index=True)
    frame = frame[(frame["scale"] == "ln") & (frame["limit_flag"] == "none")]
    frame = frame[frame["output"] == asked.output] if asked.output else frame
    for name, part in ((f"up to {WIDEST:g}", frame[frame["sd"] <= WIDEST]), ("wider", frame[frame["sd"] > WIDEST])):
        high, low, false = (alarms(part, factor).mean() for factor in (TENFOLD, 1.0 / TENFOLD, 1.0))
        print(
            f"log-SD {name}: {len(part)} labs of {part['patient'].nunique()} patients; noticed ten times too high "
            f"{100 * high:.1f} %, too low {100 * low:.1f} %; false alarms {100 * false:.2f} %"
        )


if __name__ == "__main__":
    main()
