"""The correlation of two parameters on the whole real line, for the PyMC program.

    r = y / sqrt(1 + y^2)        ln |dr/dy| = -3/2 ln(1 + y^2)

The map that PyMC 6.4 takes by default, which of two parameters cannot be converted to JAX: it slices with the number
of parameters less one as a start that is not static (`IndexError`). Of three and more it can.
"""


def pair_or_default(size: int) -> dict:
    """Arguments of `pm.LKJCorr` over so many parameters."""
    return {"default_transform": _pair()} if size == 2 else {}


def _pair():
    import pytensor.tensor as pt
    from pymc.logprob.transforms import Transform

    class PairCorrelation(Transform):
        """Lower Cholesky factor (2, 2) of a correlation matrix to one number (1,), and back."""

        name = "pair_correlation"
        ndim_supp = 1

        def forward(self, value, *inputs):
            """y of the factor."""
            return (value[1, 0] / value[1, 1])[None]

        def backward(self, value, *inputs):
            """The factor."""
            y = value[0]
            length = pt.sqrt(1.0 + y**2)
            return pt.stacklists([[pt.ones_like(y), pt.zeros_like(y)], [y / length, 1.0 / length]])

        def log_jac_det(self, value, *inputs):
            """ln |dr/dy|."""
            return -1.5 * pt.log1p(value[0] ** 2)

    return PairCorrelation()
