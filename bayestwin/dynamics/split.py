"""One interval of a model whose linear part is known in closed form: only the rest is left to a solver.

    dx/dt = A x + b        the drivers (`drivers.py`), at any time by `course.py`, exact however fast
    dz/dt = f(t, x(t), z)  the rest, by the solver of the whole model; time runs from the start of the interval

An explicit solver need not be stable for x any more, and its steps are as long as z and the change of x within them
allow. What it cannot see it may pass over: an absorption that is over within a small part of its first step leaves no
trace at any of its stages but the first. The first step of an adaptive solve is therefore FIRST of the time scale of
the fastest driver at most, and longer ones follow (at most ten times each, as its controller has it).
"""

import jax.numpy as jnp

from bayestwin.dynamics.course import course_of

FIRST = 0.5


def split_step(drivers, solve):
    """The step of a whole interval, (rhs, y, start, end, accuracy) -> (y after, error, ok), from that of the rest.

    drivers : at least one; solve(slope, at, z, length, accuracy, first) -> (z after, error, ok) for the rest, where
    slope(time, x, z) are its slopes given the drivers x = at(time), and `first` is what a first step may be at most
    """
    driven = [k for driver in drivers for k in driver.states]

    def step(rhs, y, start, end, accuracy):
        size, length = len(y), end - start
        rest = [k for k in range(size) if k not in driven]
        courses, ok = _courses(drivers, rhs, y, start, length)
        fastest = jnp.stack([jnp.abs(rate) for course in courses for rate in course.rates]).max()

        def at(time):
            return tuple(value for course in courses for value in course.at(time))

        def whole(x, z):
            known = dict(zip((*driven, *rest), (*x, *z)))
            return tuple(known[k] for k in range(size))

        def slope(time, x, z):
            slopes = rhs(start + time, whole(x, z), None)
            return tuple(slopes[k] for k in rest)

        z, error, good = tuple(y[k] for k in rest), jnp.zeros(()), jnp.isfinite(length)
        if rest:
            z, error, good = solve(slope, at, z, length, accuracy, FIRST / fastest)
        after = whole(at(length), z)
        good &= ok & jnp.stack([jnp.isfinite(value) for value in after]).all()
        return tuple(jnp.where(good, new, old) for new, old in zip(after, y)), error, good

    return step


def _courses(drivers, rhs, y, start, length):
    """The course of every driver through the interval, and whether all can be followed."""
    courses, ok = [], jnp.isfinite(length)
    for driver in drivers:

        def slopes(values, driver=driver):
            now = dict(zip(driver.states, values))
            found = rhs(start, tuple(jnp.asarray(now.get(k, y[k]), dtype=float) for k in range(len(y))), None)
            return [found[k] for k in driver.states]

        size = range(len(driver.states))
        constant = slopes([0.0 for _ in size])
        columns = [slopes([float(k == j) for k in size]) for j in size]
        matrix = tuple(tuple(column[i] - constant[i] for column in columns) for i in size)
        course, good = course_of(matrix, constant, [y[k] for k in driver.states], driver.groups, length)
        courses.append(course)
        ok &= good
    return courses, ok
