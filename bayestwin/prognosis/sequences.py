"""A `Schedule` or a `Policy` against the model and the patient: what can never happen is refused, the rest in words.

Nothing is guessed: a name that the model does not know, a threshold that no lab can report, a rule whose turn never
comes (its treatment never in force, an earlier rule always first, a least time past the horizon) is an error.
"""

from bayestwin.errors import ModelError
from bayestwin.units import convert, parse_duration


def check_schedule(model, schedule, row: str, span: float) -> tuple[tuple[float, str], ...]:
    """(time after the data cut, treatment) of every step; span : the horizon in the model's time unit."""
    starts = schedule.starts(model.time_unit)
    for time, name in starts:
        model.treatment(name)  # raises with the names allowed
        if time >= span:
            raise _problem(
                model,
                row,
                "a step of this schedule lies past the horizon",
                f"{name} at {time:g} {model.time_unit}",
                allowed=f"times before {span:g} {model.time_unit}",
            )
    return starts


def check_policy(model, policy, row: str, *, in_force: str, on_it: float, span: float) -> None:
    """ModelError for a policy that cannot be followed.

    in_force : treatment at the data cut ("" none); on_it : how long by then; span : the horizon, model's time unit
    """
    for name in policy.treatments:
        treatment = model.treatment(name)
        if treatment.starts_with == "dose" or treatment.wait > 0:
            why = "is given as doses" if treatment.starts_with == "dose" else "starts only after a wait"
            raise _problem(
                model,
                row,
                f"a policy cannot start what {why}",
                name,
                allowed="treatments that an event starts at once",
                next_step="Use a Schedule for it.",
            )
    if policy_visit(model, policy) > span:
        raise _problem(
            model,
            row,
            "the first visit of this policy lies past the horizon, so that its rules can never fire",
            policy.every,
            allowed=f"at most {span:g} {model.time_unit}",
        )
    for rule in policy.rules:
        _check_rule(model, rule, row)
    first = policy.start or in_force
    _check_turns(model, policy, row, first, (on_it if first == in_force else 0.0) + span, span)


def policy_visit(model, policy) -> float:
    """Time between visits in the model's time unit."""
    return convert(*parse_duration(policy.every), model.time_unit)


def _check_rule(model, rule, row: str) -> None:
    """Names and thresholds of one rule."""
    for name in (rule.treatment, rule.while_on):
        if name:
            model.treatment(name)
    if not rule.output:
        return
    if rule.output not in model.observation_index:
        raise _problem(
            model,
            row,
            "a rule reads a lab that the model does not have",
            rule.output,
            allowed=f"one of {', '.join(model.observation_index)}",
        )
    lab = model.observations[model.observation_index[rule.output]]
    for threshold in (rule.below, rule.above):
        if threshold is not None and not lab.plausible[0] <= threshold <= lab.plausible[1]:
            raise _problem(
                model,
                row,
                f"a threshold lies outside the plausible range of {rule.output}",
                threshold,
                allowed=f"{lab.plausible[0]:g} to {lab.plausible[1]:g} {lab.unit}",
            )
    if rule.below is not None and lab.lower_limit is not None and rule.below < lab.lower_limit:
        raise _problem(
            model,
            row,
            f"the rule can never fire: {rule.output} is never seen below its limit of quantification",
            rule.below,
            allowed=f"at least {lab.lower_limit:g} {lab.unit}",
        )


def _check_turns(model, policy, row: str, first: str, longest_on_first: float, span: float) -> None:
    """ModelError for a rule whose turn never comes; longest_on_first : time on the first treatment by the horizon."""
    reached, grew = {first}, True
    while grew:
        new = {r.treatment for r in policy.rules if not r.while_on or r.while_on in reached} - reached
        reached, grew = reached | new, bool(new)
    for number, rule in enumerate(policy.rules):
        why = ""
        longest = longest_on_first if rule.while_on in ("", first) else span
        if rule.while_on and rule.while_on not in reached:
            why = f"{rule.while_on} is never in force"
        elif rule.least_time(model.time_unit) > longest:
            why = "its least time lies past the horizon"
        elif any(_decides_first(model, earlier, rule) for earlier in policy.rules[:number]):
            why = "a rule before it always decides first"
        if why:
            raise _problem(model, row, f"a rule of this policy can never fire: {why}", str(rule))


def _decides_first(model, a, b) -> bool:
    """True where rule a fits whenever rule b does."""
    within = not a.output or (
        a.output == b.output
        and (a.below is None or (b.below is not None and b.below <= a.below))
        and (a.above is None or (b.above is not None and b.above >= a.above))
    )
    unit = model.time_unit
    return within and a.while_on in ("", b.while_on) and a.least_time(unit) <= b.least_time(unit)


def schedule_in_words(model, steps) -> str:
    """For example "from day 0 pause, from day 180 drug"; steps : (time from the data cut, treatment)."""
    unit = "hour" if model.time_unit == "h" else model.time_unit
    return ", ".join(f"from {unit} {time:g} {model.treatment(name).label}" for time, name in steps)


def policy_in_words(model, policy) -> str:
    """The rules as a clinician would say them, with labels and units."""
    said = [f"{model.treatment(policy.start).label} from the data cut"] if policy.start else []
    for rule in policy.rules:
        when = [f"on {model.treatment(rule.while_on).label}"] if rule.while_on else []
        if rule.output:
            lab = model.observations[model.observation_index[rule.output]]
            bounds = (("at or below", rule.below), ("at or above", rule.above))
            when += [f"{lab.label or rule.output} {how} {x:g} {lab.unit}" for how, x in bounds if x is not None]
        when += [f"after {rule.after}"] if rule.after else []
        said.append(f"{model.treatment(rule.treatment).label} if {' and '.join(when)}")
    return "; ".join(said) + f"; decided every {policy.every} from simulated labs"


def _problem(model, row, problem, value, **more) -> ModelError:
    return ModelError(problem, subject=f"model {model.name}", place=f"forecast row {row!r}", value=value, **more)
