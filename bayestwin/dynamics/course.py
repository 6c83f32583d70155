"""The course of a linear part of a model at any time of an interval, in closed form: what a drug does meanwhile.

    dx/dt = A x + b      x(t) = sum over k of  exp[l0, ..., lk](t)  w_k
                         w_0 = x(0)      w_k+1 = (A - lk) w_k, with the constant b as one more state

Newton's form of the exponential: l0 < l1 < ... are the eigenvalues of A and a 0 for b, exp[...] the divided
differences of exp(l t) between them. It needs no eigenvectors, so that eigenvalues may be equal (transit chains, a
lag of two equal steps) or nearly so, and an infusion into a compartment that eliminates nothing is no exception. A
difference between values closer than CLOSE is a series, else a quotient. Eigenvalues are read off the diagonal where
states follow each other; two that exchange have a square root, which is real where each feeds the other
(`structure.py` sees to both).

Source: McCurdy, Ng and Parlett (1984), Math. Comp. 43:501 (divided differences of the exponential).
"""

from math import factorial
from typing import NamedTuple

import jax
import jax.numpy as jnp

# At this distance a series of so many terms is exact to 3e-13, and a quotient of four states to 1e-11.
CLOSE, TERMS, NOISE = 0.1, 8, 1e-11
LARGEST_NORM, LARGEST_GROWTH = 1e6, 300.0  # of eigenvalues times the length of an interval


class Course(NamedTuple):
    """One linear part from the start of an interval.

    rates (n + 1,) : eigenvalues and a 0, ascending; weights (n + 1, n)
    there, added : sums of the sizes of the states at the start and of the constants
    """

    rates: tuple
    weights: tuple
    there: jax.Array
    added: jax.Array

    def at(self, time):
        """The states so long after the start, n scalars."""
        shares = _newton_shares([rate * time for rate in self.rates], time)
        sums = (sum(share * weight for share, weight in zip(shares, of_state)) for of_state in zip(*self.weights))
        # a negative one that is rounding error of all that was there is 0: an amount may have a power or a root
        noise = -NOISE * (self.there + self.added * time)
        return tuple(jnp.where((total < 0.0) & (total > noise), 0.0, total) for total in sums)


def course_of(matrix, constant, begin, exchanging, length) -> tuple[Course, jax.Array]:
    """The course of a linear part, and whether its rates are within what can be followed.

    matrix : rows of scalars; constant, begin : scalars; exchanging : the positions of states by groups, (i,) or (i, j)
    for two that exchange; a group depends on itself and the groups before it; length : of the interval
    """
    found = [rate for group in exchanging for rate in _eigenvalues(matrix, group)]
    ok = jnp.stack([(jnp.abs(r) * length < LARGEST_NORM) & (r * length < LARGEST_GROWTH) for r in found]).all()
    matrix = tuple(tuple(jnp.where(ok, x, 0.0) for x in row) for row in matrix)
    rates = _ascending([*(jnp.where(ok, rate, 0.0) for rate in found), jnp.zeros(())])
    one, x, weights = 1.0, tuple(begin), [tuple(begin)]
    for rate in rates[:-1]:
        moved = (sum(a * v for a, v in zip(row, x)) + b * one for row, b in zip(matrix, constant))
        x = tuple(new - rate * old for new, old in zip(moved, x))
        one = -rate * one
        weights.append(x)
    there, added = (jax.lax.stop_gradient(jnp.abs(jnp.stack([*sizes])).sum()) for sizes in (begin, constant))
    return Course(tuple(rates), tuple(weights), there, added), ok


def _eigenvalues(matrix, group):
    """Of one state, or of two that exchange."""
    if len(group) == 1:
        return [matrix[group[0]][group[0]]]
    i, j = group
    middle, half = 0.5 * (matrix[i][i] + matrix[j][j]), 0.5 * (matrix[i][i] - matrix[j][j])
    apart = half**2 + matrix[i][j] * matrix[j][i]
    apart = jnp.sqrt(jnp.where(apart > 1e-200, apart, 1e-200))  # no exchange at all: the slope stays finite
    return [middle - apart, middle + apart]


def _ascending(values):
    """Sorted scalars. Their slopes are right at ties too: what is made of them does not depend on their order."""
    values = list(values)
    for last in range(len(values) - 1, 0, -1):
        for k in range(last):
            low, high = jnp.minimum(values[k], values[k + 1]), jnp.maximum(values[k], values[k + 1])
            values[k], values[k + 1] = low, high
    return values


def _newton_shares(points, time):
    """exp[l0](t), exp[l0, l1](t), ... for ascending points l t."""
    column, shares, power = [jnp.exp(x) for x in points], [], 1.0
    exponentials = list(column)
    shares.append(column[0])
    for order in range(1, len(points)):
        column = [
            _difference(points[k : k + order + 1], column[k], column[k + 1], exponentials[k + order])
            for k in range(len(points) - order)
        ]
        power = power * time
        shares.append(power * column[0])
    return shares


def _difference(points, lower, upper, last):
    """exp[x0, ..., xk] from exp[x0, ..., xk-1], exp[x1, ..., xk] and exp(xk)."""
    apart = points[-1] - points[0]
    close = apart < CLOSE
    quotient = (upper - lower) / jnp.where(close, 1.0, apart)
    # the series in the distances from the last, sum over j of h_j(x - xk) / (j + k)!, h_j symmetric of degree j
    order = len(points) - 1
    symmetric = [1.0] + [0.0] * (TERMS - 1)
    for point in points[:-1]:
        distance = jnp.where(close, point - points[-1], 0.0)
        for j in range(1, TERMS):
            symmetric[j] = symmetric[j] + distance * symmetric[j - 1]
    series = last * sum(h / factorial(j + order) for j, h in enumerate(symmetric))
    return jnp.where(close, series, quotient)
