"""The floors of the building: who may import whom, read from the source without running it.

A module imports only from floors below its own; rooms on one floor ignore each other; nobody inside imports
the face; the numerical rooms need nothing but JAX, NumPyro, diffrax, NumPy and xarray, so that they run on
workers that lack the rest. Every rule is first shown a module that breaks it.
"""

import ast
import graphlib
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "bayestwin"

FLOORS = (
    ("units", "axes", "errors", "dosing", "labs"),
    ("records", "specification", "store"),
    ("dynamics",),
    ("individual",),
    ("population",),
    ("twin", "federated"),
    ("prognosis",),
    ("plots",),
    ("report", "evaluation"),
    ("jobs",),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS, start=1) for room in rooms}

NUMERICAL_ROOMS = ("dynamics", "individual", "population", "twin", "prognosis")
NUMERICAL_LIBRARIES = {"jax", "numpyro", "diffrax", "numpy", "xarray"}
ROOMS_OF_NOTHING = {"utils", "common", "helpers", "types"}


@cache
def modules():
    """Dotted name -> parsed source of every module in the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if not {"_models", "_data", "__pycache__"} & set(path.parts):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    return found


def imports(tree, *, whole_file=True):
    """Dotted names that a module imports; `whole_file=False` leaves out those inside functions and TYPE_CHECKING."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: write the import in full, not with dots"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        lazy = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        lazy = lazy or isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if whole_file or not lazy:
            waiting.extend(ast.iter_child_nodes(node))


def room_of(name):
    """The room of a dotted name inside the package; "" for the face, None for other packages."""
    parts = name.split(".")
    if parts[0] != "bayestwin":
        return None
    if parts[1:] == ["__main__"]:  # `python -m bayestwin` is the command line
        return "cli"
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR else ""


def broken_floors(name, tree):
    """Sentences about imports that go up, sideways, or to the face."""
    here = room_of(name)
    for target in imports(tree):
        there = room_of(target)
        if there is None or there == here:
            continue
        if there == "":
            yield f"{name} imports the face ({target})"
        elif FLOOR[there] > FLOOR[here]:
            yield f"{name} (floor {FLOOR[here]}) imports {target} (floor {FLOOR[there]})"
        elif FLOOR[there] == FLOOR[here] and FLOOR[here] > 1:
            yield f"{name} imports its neighbour {target} on floor {FLOOR[here]}"


def foreign_libraries(name, tree):
    """Sentences about libraries that a numerical room may not need.

    The population room also holds the cross-check and the summaries, which are no part of a worker's program:
    there an import inside the function that needs it is allowed.
    """
    for target in imports(tree, whole_file=room_of(name) != "population"):
        library = target.split(".")[0]
        if library not in NUMERICAL_LIBRARIES | {"bayestwin"} | sys.stdlib_module_names:
            yield f"{name} imports {library}; the numerical rooms know only {', '.join(sorted(NUMERICAL_LIBRARIES))}"


def dependencies(trees):
    """Module -> modules that must have run before it, for imports that run when the module does."""
    graph = {}
    for name, tree in trees.items():
        needed = set()
        for target in imports(tree, whole_file=False):
            while target and target not in trees:
                target = target.rpartition(".")[0]
            while target:
                if not f"{name}.".startswith(f"{target}."):
                    needed.add(target)
                target = target.rpartition(".")[0]
        graph[name] = needed
    return graph


def test_every_module_lives_in_a_room_with_a_floor():
    strangers = {name for name in modules() if name != "bayestwin" and room_of(name) == ""}
    assert not strangers, f"no floor is given for {sorted(strangers)}"
    assert len(modules()) > 5


def test_modules_import_only_from_floors_below():
    broken = [line for name, tree in modules().items() if name != "bayestwin" for line in broken_floors(name, tree)]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        (
            "bayestwin.records.csv",
            "from bayestwin.twin import start",
            "floor 2) imports bayestwin.twin.start (floor 6)",
        ),
        ("bayestwin.records.csv", "def f():\n    import bayestwin.store", "neighbour bayestwin.store on floor 2"),
        ("bayestwin.twin.start", "from bayestwin import load_model", "imports the face"),
    ],
)
def test_an_import_upwards_sideways_or_of_the_face_is_seen(name, source, said):
    assert said in "\n".join(broken_floors(name, ast.parse(source)))


def test_numerical_rooms_need_only_the_numerical_libraries():
    numerical = {name: tree for name, tree in modules().items() if room_of(name) in NUMERICAL_ROOMS}
    broken = [line for name, tree in numerical.items() for line in foreign_libraries(name, tree)]
    assert not broken, "\n".join(broken)
    assert list(foreign_libraries("bayestwin.twin.x", ast.parse("def f():\n    import pandas")))


def test_only_one_module_calls_the_solver():
    callers = [name for name, tree in modules().items() if any(t.split(".")[0] == "diffrax" for t in imports(tree))]
    assert set(callers) <= {"bayestwin.dynamics.solve"}


def test_only_what_gathers_the_report_s_input_reaches_into_the_rooms_below():
    own = {"report", "plots", *FLOORS[0]}
    reaching = {
        name
        for name, tree in modules().items()
        if room_of(name) == "report"
        for target in imports(tree)
        if room_of(target) is not None and room_of(target) not in own
    }
    parts = ("patient", "context", "data", "forecasts", "change", "history", "record", "clock")
    gathering = {f"bayestwin.report.gather_{part}" for part in parts}
    assert reaching <= {"bayestwin.report.inputs", *gathering}


def test_no_module_imports_itself_in_a_circle():
    graphlib.TopologicalSorter(dependencies(modules())).prepare()
    circle = {"bayestwin.a": ast.parse("import bayestwin.b"), "bayestwin.b": ast.parse("from bayestwin.a import x")}
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(dependencies(circle)).prepare()


def test_no_room_is_called_after_nothing():
    named = [name for name in modules() if name.rpartition(".")[2] in ROOMS_OF_NOTHING]
    assert not named, f"name the true home of what is in {named}"


def test_the_face_shows_its_names_and_loads_each_from_its_room():
    import bayestwin

    assert {"load_model", "fit_population", "update_twin", "forecast", "write_report"} <= set(dir(bayestwin))
    for name in bayestwin.__all__:
        assert getattr(bayestwin, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'fit'; it offers .*fit_population"):
        bayestwin.fit  # noqa: B018
