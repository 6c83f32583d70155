"""A twin led through a record panel by panel; where it stopped, it can be taken up again."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from tempfile import TemporaryDirectory

from bayestwin.evaluation.panels import panels
from bayestwin.twin import Twin, load_twin, save_twin, start_twin, update_twin


def follow(
    population,
    record,
    *,
    random_seed: int,
    learnt: int = 0,
    twin: Twin | None = None,
    keep_earlier: bool = False,
    **sizes,
) -> Iterator[Twin]:
    """The twin before anything is learnt, then after every panel.

    Parameters
    ----------
    record : PatientRecord     its clocks say what became known when
    learnt, twin               a twin that has learnt so many panels, to go on from; only newer twins follow
    keep_earlier : bool        earlier twins are at hand when something is taken away, else it is restarted from scratch
    sizes                      particles, islands, population_draws, as for `start_twin`
    """
    course = panels(record)
    if twin is None:
        twin = start_twin(population, course[0].known, random_seed=random_seed, **sizes)
        yield twin
    earlier = [twin]
    for panel in course[learnt:]:
        kept = tuple(earlier) if keep_earlier else ()
        twin, _ = update_twin(
            twin, panel.newer, random_seed=random_seed, population=population, earlier=kept, anchor_every=0
        )
        earlier.append(twin)
        yield twin


def last(twins) -> Twin:
    """The last of an iterator of twins, none of the others being kept."""
    return deque(twins, maxlen=1).pop()


def saved_and_loaded(population, record, *, stop_after: int, random_seed: int, **sizes) -> Twin:
    """Followed up to a panel, saved to a file, dropped, loaded, and followed on; all in this process."""
    course = follow(population, record, random_seed=random_seed, **sizes)
    with TemporaryDirectory() as folder:
        path = save_twin(last(islice(course, stop_after + 1)), f"{folder}/twin.nc")
        back = load_twin(path, population.model)
    return last(follow(population, record, random_seed=random_seed, learnt=stop_after, twin=back))
