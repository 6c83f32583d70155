"""Blocks of correlated random effects: which individual parameters each LKJ prior is over.

    Omega = diag(omega) R diag(omega),   R the identity but for the blocks, each a matrix under LKJ(concentration)

Between patients there may be several blocks, between occasions of one patient one, the same in each occasion.

Source: Lewandowski, Kurowicka and Joe (2009), J Multivariate Analysis 100:1989.
"""

from typing import NamedTuple

from bayestwin.errors import ModelError
from bayestwin.specification.priors import LKJ

CHOLESKY, OF_OCCASIONS = "correlation_cholesky", "occasion_correlation_cholesky"


class Block(NamedTuple):
    """One LKJ prior.

    site : of its Cholesky factor; prior_name : in a file of priors; prior : LKJ
    places : for each copy of the block (one, or one per occasion) the positions in `individual_names`
    """

    site: str
    prior_name: str
    prior: LKJ
    places: tuple[tuple[int, ...], ...]

    @property
    def dims(self) -> tuple[str, str]:
        """Dimensions of the factor in a result."""
        end = self.site.removeprefix(CHOLESKY)
        return f"parameter_a{end}", f"parameter_b{end}"

    @property
    def coords(self) -> dict[str, list[str]]:
        """Names along them."""
        return {dim: list(self.prior.over) for dim in self.dims}


def between_patients(model) -> tuple[LKJ, ...]:
    """The LKJ priors between patients; none, one, or several."""
    said = model.correlation
    return () if said is None else (said,) if isinstance(said, LKJ) else tuple(said)


def blocks_of(model) -> tuple[Block, ...]:
    """Every block of a model. A single one between patients is the site correlation_cholesky, each of several
    correlation_cholesky_<its first parameter>."""
    names, found = model.individual_names, []
    priors = between_patients(model)
    for prior in priors:
        end = f"_{prior.over[0]}" if len(priors) > 1 else ""
        place = tuple(names.index(n) for n in prior.over)
        found.append(Block(f"{CHOLESKY}{end}", f"correlation{end}", prior, (place,)))
    own = model.occasions.correlation if model.occasions is not None else None
    if own is not None:
        each = zip(*(model.occasions.names_of(n) for n in own.over))
        places = tuple(tuple(names.index(n) for n in members) for members in each)
        found.append(Block(OF_OCCASIONS, "occasion_correlation", own, places))
    return tuple(found)


def check_correlation(model) -> None:
    """Contradictions of the blocks of a model; raises ModelError."""
    varying = {p.name for p in model.parameters if p.between is not None}
    apart = model.response_correlation.parameters if model.response_correlation else ()
    seen: set[str] = set()
    for prior in between_patients(model):
        _check_block(model, "correlation", prior, varying)
        for name in prior.over:
            if name in seen:
                raise ModelError(
                    "a parameter cannot stand in two LKJ blocks",
                    subject=f"model {model.name}",
                    place="correlation",
                    value=name,
                    next_step="Write one block over all parameters that are correlated with each other.",
                )
            if name in apart:
                raise ModelError(
                    "a parameter cannot stand in the LKJ block and in the response correlation",
                    subject=f"model {model.name}",
                    value=name,
                )
        seen |= set(prior.over)
    if model.occasions is not None and model.occasions.correlation is not None:
        _check_block(model, "occasions, correlation", model.occasions.correlation, set(model.occasions.sd))


def _check_block(model, place: str, prior, allowed: set[str]) -> None:
    """An LKJ over at least two distinct parameters that vary."""
    where = {"subject": f"model {model.name}", "place": place}
    if not isinstance(prior, LKJ):
        raise ModelError(
            "a correlation wants an LKJ", value=prior, allowed="LKJ(over=(...)) or a tuple of them", **where
        )
    for name in prior.over:
        if name not in allowed:
            known = ", ".join(sorted(allowed)) or "(none varies)"
            raise ModelError("unknown name", value=name, allowed=f"one of {known}", **where)
    if len(set(prior.over)) < max(2, len(prior.over)):
        raise ModelError(
            "a correlation is between at least two parameters, each named once",
            value=", ".join(prior.over),
            allowed="two names or more",
            **where,
        )
