"""A linear vector field dy/dt = A y + b followed exactly, however stiff: y(t) = E y + f with

    E = exp(A t)      f = phi(A t) b t      phi(X) = I/1! + X/2! + X^2/3! + ...

by scaling and squaring about a Taylor polynomial of fixed length, in two forms.

With gradients: a loop of fixed length over the terms and one over the squarings, which reverse mode can follow; what
they pass through is computed again rather than kept. Up to SCALARS states the matrices are nested tuples of scalars, so
that under vmap each entry is one contiguous vector of patients; with more states the compiler would need half a minute
for that, and one exponential of [[A, b / u], [0, 0]] t as an array is taken (u the size of b, at least 1). JAX's own
`expm` compiles every Padé order into the program. Why, with figures: docs/decisions/0031-small-matrices-as-scalars.md.

Without gradients, for thousands of particles: phi by the scheme of Paterson and Stockmeyer, then as often as the
stiffest particle needs it f <- E f + f, E <- E E. Matrices are nested tuples of scalars, so that under vmap each entry
is one contiguous vector: a likelihood of theophylline takes 2 microseconds where it took 50 (4,000 particles,
measured). One state alone needs neither: exp and expm1 (59 newborns, gradient, four chains: 16 to 0.9 ms, measured).

Sources: Moler and Van Loan (2003), SIAM Review 45:3, method 3; Paterson and Stockmeyer (1973), SIAM J. Comput. 2:60.
"""

from math import factorial

import jax
import jax.numpy as jnp

ORDER, SQUARINGS = 14, 20  # of a matrix scaled to norm 1/2: truncation error under 1e-16; norms up to 5e5
LARGEST_NORM = 0.5 * 2.0**SQUARINGS
SCALARS = 4  # states; compiling a gradient takes 2, 6 and 26 s with 2, 4 and 7 states, as an array 1, 2 and 3
DEGREE, POWERS = 15, 4  # of phi, of a matrix scaled to norm 1: truncation error under 3e-15; X^4 is the outer variable


def linear_flow(matrix, constant, *, gradient: bool):
    """(E, f, ok) over one unit of time; where `ok` is False the norm was too large and E, f are those of nothing.

    matrix : tuple of rows of scalars; constant : tuple; E, f likewise
    """
    size = len(constant)
    if size == 1:
        return _flow_of_one(matrix[0][0], constant[0])
    if gradient and size > SCALARS:
        return _flow_of_array(matrix, constant)
    norm = jnp.stack([sum(jnp.abs(x) for x in column) for column in zip(*matrix)]).max()
    ok = (norm < LARGEST_NORM) & jnp.isfinite(sum(jnp.abs(b) for b in constant))
    matrix = tuple(tuple(jnp.where(ok, x, 0.0) for x in row) for row in matrix)
    constant, norm = tuple(jnp.where(ok, x, 0.0) for x in constant), jnp.where(ok, norm, 0.0)
    flow = jax.checkpoint(_flow_with_gradient, prevent_cse=False) if gradient else _flow_of_many
    return *flow(matrix, constant, jax.lax.stop_gradient(norm)), ok


def _flow_of_one(rate, constant):
    """The same of one state, dy/dt = a y + b: E = exp(a), f = b (exp(a) - 1) / a, or b (1 + a / 2) where a is tiny."""
    ok = jnp.isfinite(rate) & (jnp.abs(rate) < LARGEST_NORM)
    rate = jnp.where(ok, rate, 0.0)
    tiny = jnp.abs(rate) < 1e-8
    gain = jnp.where(tiny, 1.0 + 0.5 * rate, jnp.expm1(rate) / jnp.where(tiny, 1.0, rate))
    return ((jnp.exp(rate),),), (gain * constant,), ok


def _flow_of_array(matrix, constant):
    """The same by one exponential; a large infusion is no stiffness: b enters divided by its size."""
    size, unit = len(constant), jax.lax.stop_gradient(jnp.maximum(1.0, sum(jnp.abs(b) for b in constant)))
    whole = jnp.stack([jnp.stack([*row, b / unit]) for row, b in zip(matrix, constant)])
    whole = jnp.concatenate([whole, jnp.zeros((1, size + 1))])
    ok = _norm(whole) < LARGEST_NORM  # also false where it is not a number
    found = jax.checkpoint(matrix_exponential, prevent_cse=False)(jnp.where(ok, whole, 0.0))
    rows = [jnp.unstack(row) for row in jnp.unstack(found)[:size]]
    return tuple(row[:size] for row in rows), tuple(row[size] * unit for row in rows), ok


def _flow_with_gradient(matrix, constant, norm):
    """(E, f) in loops of fixed length; f <- (A f + b) / k beside E <- I + A E / k, then f <- E f + f and E <- E E."""
    halvings = jnp.clip(jnp.ceil(jnp.log2(jnp.maximum(norm, 1e-300) / 0.5)), 0.0, float(SQUARINGS))
    share, size = 0.5**halvings, range(len(constant))
    scaled, constant = jax.tree.map(lambda x: x * share, (matrix, constant))

    def horner(total, k):
        growth, gain = total
        gain = tuple((x + b) / k for x, b in zip(applied(scaled, gain), constant))
        rows = enumerate(product(scaled, growth))
        return (tuple(tuple(x / k + (i == j) for j, x in enumerate(row)) for i, row in rows), gain), None

    def square(total, k):
        return jax.tree.map(lambda new, old: jnp.where(k < halvings, new, old), _doubled(*total), total), None

    nothing = 0.0 * halvings  # what is carried depends on the patient from the start, as in solve.py
    begin = tuple(tuple(nothing + (i == j) for j in size) for i in size), tuple(nothing for _ in size)
    polynomial, _ = jax.lax.scan(horner, begin, jnp.arange(ORDER, 0, -1, dtype=float))
    return jax.lax.scan(square, polynomial, jnp.arange(SQUARINGS, dtype=float))[0]


def _doubled(growth, gain):
    """(E, f) of twice the time."""
    return product(growth, growth), tuple(x + y for x, y in zip(applied(growth, gain), gain))


def matrix_exponential(matrix):
    """exp(matrix) for an array (n, n) of norm below LARGEST_NORM; differentiable in reverse and forward mode."""
    size = matrix.shape[-1]
    halvings = jnp.clip(
        jnp.ceil(jnp.log2(jnp.maximum(jax.lax.stop_gradient(_norm(matrix)), 1e-300) / 0.5)), 0.0, float(SQUARINGS)
    )
    scaled, identity = matrix / 2.0**halvings, jnp.eye(size)

    def dot(
        a, b
    ):  # term by term: the compiler hands a product, and a sum over an axis, to libraries slow on small matrices
        return sum(a[:, k, None] * b[None, k, :] for k in range(len(b)))

    def horner(total, k):
        return identity + dot(scaled, total) / k, None

    def square(total, k):
        return jnp.where(k < halvings, dot(total, total), total), None

    polynomial, _ = jax.lax.scan(horner, identity, jnp.arange(ORDER, 0, -1, dtype=float))
    return jax.lax.scan(square, polynomial, jnp.arange(SQUARINGS, dtype=float))[0]


def product(a, b):
    """a b, of matrices as tuples of rows."""
    return tuple(tuple(sum(x * y for x, y in zip(row, column)) for column in zip(*b)) for row in a)


def applied(a, x):
    """a x, of a matrix and a vector as tuples."""
    return tuple(sum(p * q for p, q in zip(row, x)) for row in a)


def _norm(matrix):
    return jnp.abs(matrix).sum(axis=0).max()


def _flow_of_many(matrix, constant, norm):
    """(E, f) without gradients; the loop ends with the last squaring that any particle of a batch needs."""
    halvings = jnp.clip(jnp.ceil(jnp.log2(jnp.maximum(norm, 1e-300))), 0.0, float(SQUARINGS))
    share = 0.5**halvings
    scaled = tuple(tuple(x * share for x in row) for row in matrix)
    series = _phi(scaled)
    growth = tuple(tuple(x + (i == j) for j, x in enumerate(row)) for i, row in enumerate(product(scaled, series)))
    gain = applied(series, tuple(x * share for x in constant))

    return jax.lax.fori_loop(0, halvings.astype(int), lambda _, carried: _doubled(*carried), (growth, gain))


def _phi(matrix):
    """phi of a matrix of norm 1 at most."""
    size, powers = range(len(matrix)), [None, matrix]
    while len(powers) <= POWERS:
        powers.append(product(matrix, powers[-1]))

    def inner(first):
        """The terms of degree first, first + 1, ... below the next power of X^4, divided by X to the power of first."""
        weights = [1.0 / factorial(k + 1) for k in range(first, first + POWERS)]

        def entry(i, j):
            return weights[0] * (i == j) + sum(w * power[i][j] for w, power in zip(weights[1:], powers[1:]))

        return tuple(tuple(entry(i, j) for j in size) for i in size)

    total = inner(DEGREE + 1 - POWERS)
    for first in range(DEGREE + 1 - 2 * POWERS, -1, -POWERS):
        more, rest = product(powers[POWERS], total), inner(first)
        total = tuple(tuple(a + b for a, b in zip(x, y)) for x, y in zip(more, rest))
    return total
