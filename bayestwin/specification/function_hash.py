"""What the functions of a model made in a notebook are: their source, and every value that they read beyond it.

Two functions of one factory have the same source, and a constant of the notebook may be another in the next cell. So
the values count too: cells of a closure, defaults, globals, and of functions among these again what they read. Of
installed packages and their functions the name counts. A value whose content cannot be told is refused, since two
models that differ in it would be taken for one.
"""

import dis
import functools
import hashlib
import inspect
import pickle
import sys
import sysconfig
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np

from bayestwin.errors import ModelError

MODEL_FOLDERS = "_bayestwin_model_"  # as load.py names the package of a folder; a wheel holds them inside bayestwin
PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), range)


def source_text(function: Callable) -> str:
    """The source of a function; where there is none its byte code."""
    plain = inspect.unwrap(function)
    try:
        text = inspect.getsource(plain)
    except (OSError, TypeError):
        return _code_text(plain.__code__) if hasattr(plain, "__code__") else ""
    several = getattr(plain, "__name__", "") == "<lambda>" and text.count("lambda") > 1
    return text + _code_text(plain.__code__) if several else text  # which of them it is


def values_read(functions: Mapping[str, Callable], model: str) -> str:
    """What functions read besides their source, "" where that is nothing but installed packages.

    functions : name in the model -> function; model : its name, for the message

    Raises
    ------
    ModelError      the content of a value cannot be told; names function, value and type
    """
    found = []
    for name, function in functions.items():
        try:
            read = _read_by(function, {})
        except _Unreadable as problem:
            raise ModelError(
                "a function of the model reads something whose content cannot be told, so that two models that differ "
                "in it would be taken for one",
                subject=f"model {model}",
                place=name,
                value=str(problem),
                allowed="numbers, texts, arrays, functions, and tuples, lists, dicts or dataclasses of these",
                next_step="Read plain values, or save the model as a folder with model.py and load it with "
                "load_model(path).",
            ) from problem
        if read:
            found.append(f"{name} reads {read}")
    return "\n".join(found)


Seen = dict[int, tuple[object, str]]  # by identity: the value, kept so that no other gets its number, and its text


class _Unreadable(Exception):
    """A value whose content cannot be told: name and type."""


def _code_text(code: types.CodeType) -> str:
    inner = [_code_text(one) if isinstance(one, types.CodeType) else repr(one) for one in code.co_consts]
    return repr((code.co_code, inner, code.co_names, code.co_varnames, code.co_freevars))


def _read_by(function, seen: Seen) -> str:
    """What one function reads: name and content of each value, "" for nothing that counts."""
    function = inspect.unwrap(function)
    if not isinstance(function, types.FunctionType):
        return _content(function, "function", seen)
    found = [
        (name, _content(value, name, seen))
        for name, value in sorted(_names_read(function).items())
        if not (isinstance(value, types.ModuleType) and _is_installed(value.__name__))
    ]
    for name, value in (("defaults", function.__defaults__), ("keywords", function.__kwdefaults__)):
        found += [(name, _content(value, name, seen))] if value else []
    return repr(found) if found else ""


def _names_read(function: types.FunctionType) -> dict[str, object]:
    """Closure cells and globals that a function or one inside it names, those that have a value."""
    found = {}
    waiting = [function.__code__]
    while waiting:
        code = waiting.pop()
        waiting += [one for one in code.co_consts if isinstance(one, types.CodeType)]
        for step in dis.get_instructions(code):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and step.argval in function.__globals__:
                found[step.argval] = function.__globals__[step.argval]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            found[f"{name} of the closure"] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _content(value, name: str, seen: Seen) -> str:
    """A text that two values share only where they are the same to a computation."""
    if isinstance(value, PLAIN):
        return f"{type(value).__name__} {value!r}"
    if id(value) not in seen:
        seen[id(value)] = value, "itself"  # until its own text is known, for what refers to itself
        seen[id(value)] = value, _composed(value, name, seen)
    return seen[id(value)][1]


def _composed(value, name: str, seen: Seen) -> str:
    inside, kind = functools.partial(_content, name=name, seen=seen), type(value).__name__
    if isinstance(value, types.ModuleType):
        return value.__name__ if _is_installed(value.__name__) else _digest(f"module {_text_of(value, name)}")
    if isinstance(value, Mapping):
        return f"{kind} {[(inside(k), inside(v)) for k, v in value.items()]}"
    if isinstance(value, tuple | list):
        return f"{kind} {[inside(one) for one in value]}"
    if isinstance(value, set | frozenset):
        return f"{kind} {sorted(inside(one) for one in value)}"
    if isinstance(value, functools.partial):
        return f"{kind} {[inside(one) for one in (value.func, value.args, value.keywords)]}"
    if isinstance(value, types.MethodType):
        return f"{kind} {[inside(one) for one in (value.__func__, value.__self__)]}"
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return _callable(value, name, seen)
    if hasattr(value, "dtype") and hasattr(value, "shape") and (array := np.asarray(value)).dtype != object:
        return f"array {array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}"
    if hasattr(value, "source_hash") and hasattr(value, "vector_field"):
        return f"model {value.hash}"
    if is_dataclass(value):
        return f"{inside(type(value))} {[(f.name, inside(getattr(value, f.name))) for f in fields(value)]}"
    return _other(value, name, seen)


def _callable(value, name: str, seen: Seen) -> str:
    """A function or class: of installed packages its name, else its source and what it reads."""
    plain = inspect.unwrap(value)
    home = getattr(plain, "__module__", None) or "builtins"
    if _is_installed(home):
        return f"{home}.{plain.__qualname__}"
    if isinstance(plain, types.FunctionType):
        return _digest(f"function {source_text(plain)} {_read_by(plain, seen)}")
    if isinstance(plain, type):
        written = {n: m for n, m in vars(plain).items() if isinstance(m, types.FunctionType)}
        methods = [(n, _read_by(m, seen)) for n, m in written.items() if m.__code__.co_filename != "<string>"]
        bases = [_content(base, name, seen) for base in plain.__bases__]
        return _digest(f"class {_text_of(plain, name)} {bases} {methods}")
    raise _Unreadable(f"{name}, a {type(plain).__name__}")


def _other(value, name: str, seen: Seen) -> str:
    """Anything else: its class, and its name where it is part of a package, or its content as it would be saved."""
    kind = _content(type(value), name, seen)
    if callable(value) and hasattr(value, "__name__") and _is_installed(type(value).__module__):
        return f"{kind} {getattr(value, '__module__', '')}.{value.__name__}"
    if not _is_installed(type(value).__module__) and hasattr(value, "__dict__"):
        return f"{kind} {_content(vars(value), name, seen)}"
    try:
        return f"{kind} {hashlib.sha256(pickle.dumps(value, protocol=4)).hexdigest()}"
    except Exception as problem:
        raise _Unreadable(f"{name}, a {type(value).__name__}") from problem


def _text_of(value, name: str) -> str:
    try:
        return inspect.getsource(value)
    except (OSError, TypeError) as problem:
        raise _Unreadable(f"{name}, a {type(value).__name__} without source") from problem


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@functools.lru_cache(maxsize=1024)
def _is_installed(module: str) -> bool:
    """True for modules of Python, of installed packages and of bayestwin itself: their name says what they are."""
    root = module.partition(".")[0]
    if root == "__main__" or root.startswith(MODEL_FOLDERS):
        return False
    if root in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(module) or sys.modules.get(root), "__file__", None)
    homes = [sysconfig.get_paths()[k] for k in ("purelib", "platlib", "stdlib")] + [str(Path(__file__).parents[1])]
    return file is not None and any(Path(file).resolve().is_relative_to(Path(home).resolve()) for home in homes)
