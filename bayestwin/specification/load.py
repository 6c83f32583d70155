"""`load_model("myeloma_car_t")` or `load_model(path)`: one folder, one disease model.

The folder is executed as a package of its own, so that model.py may import its neighbours. A model is
known by the hash of its code: of model.py, of every neighbour that it imports, directly or through others, and of the
building blocks and parts that these name (source_hash.py).
Comments, docstrings and layout do not count, everything else does. A neighbour that model.py does not import
(response coding, scores) says nothing of the likelihood, so it may change without a new fit: a posterior stays
valid. `model_part` loads such a neighbour. Loading is memoised by the hash of all files; pickling sends their
source text, never functions.
"""

import importlib.util
import shutil
import sys
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.util import Finalize
from pathlib import Path

from bayestwin.errors import ModelError, refuse_no_path
from bayestwin.specification.function_hash import MODEL_FOLDERS
from bayestwin.specification.sites import with_sites_from
from bayestwin.specification.source_hash import code_hash, hash_of_model

PACKAGE = MODEL_FOLDERS  # the name under which a folder runs begins so
_loaded: dict[tuple[str, str], object] = {}  # by the hash of the model and that of the whole folder
_sources: dict[tuple[str, str], dict[str, str]] = {}  # by hash and folder, as are the names of packages
_packages: dict[tuple[str, str], str] = {}


def models_folder() -> Path:
    """Where the shipped models live: inside an installed wheel, else in the checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_models", package.parent / "models"):
        if folder.is_dir():
            return folder
    raise ModelError("the shipped models are missing", place=str(package.name), next_step="Reinstall bayestwin.")


def model_folder(name_or_path) -> Path:
    """The folder of a model given by name or path."""
    refuse_no_path(name_or_path, "load_model, name_or_path", "a model's name, or a folder holding model.py")
    path = Path(name_or_path)
    if path.name == "model.py" and path.is_file():
        return path.parent
    if path.is_dir() and (path / "model.py").is_file():
        return path
    named = models_folder() / str(name_or_path)
    if (named / "model.py").is_file():
        return named
    known = sorted(p.parent.name for p in models_folder().glob("*/model.py"))
    raise ModelError(
        "no such model",
        value=str(name_or_path),
        allowed=f"one of {', '.join(known)}, or a folder holding model.py",
        next_step="Name the folder of your own model: --model FOLDER, or load_model(folder).",
    )


def load_model(name_or_path):
    """Load a model by its name or from a folder.

    Raises ModelError when the folder has no model.py, when it does not run, or when it defines no `model`.
    """
    folder = model_folder(name_or_path)
    return model_from_source(_read(folder), None, folder)


def source_of_part(name_or_path) -> dict[str, str]:
    """The source files of a model that another one names as its part."""
    return _read(model_folder(name_or_path))


def _read(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.glob("*.py")):
        if path.name.startswith("make_"):
            continue
        raw = path.read_bytes()
        try:
            found[path.name] = raw.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError as error:
            raise ModelError(
                "the model file is not UTF-8",
                subject=f"model {folder.name}",
                place=f"{path.name} line {raw[: error.start].count(b'\n') + 1}",
                value=raw[error.start : error.start + 1],
                allowed="UTF-8 text",
                next_step="Save the file as UTF-8.",
            ) from error
    return found


def model_part(model, name: str):
    """The neighbour `name` of a model's model.py as a module, or None where the folder has none.

    Raises ModelError where the file does not run.
    """
    key = (model.source_hash, model.folder)
    if key not in _packages:
        if not model.folder:
            return None
        loaded = load_model(model.folder)  # a model changed in a notebook keeps the neighbours of its folder
        key = (loaded.source_hash, loaded.folder)
    if not (Path(key[1]) / f"{name}.py").is_file():
        return None
    try:
        return importlib.import_module(f"{_packages[key]}.{name}")
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{name}.py stopped with {type(error).__name__}: {error}", place=Path(key[1]).name) from error


def source_of(model) -> dict[str, str]:
    """The source files a model was loaded from, as they were when it was loaded."""
    key = (model.source_hash, model.folder)
    return _sources[key] if key in _sources else _read(Path(model.folder))


def model_from_source(
    sources: dict[str, str],
    expected_hash: str | None = None,
    folder: Path | None = None,
    sites: Mapping[str, str] | None = None,
):
    """A model from its source text; on a worker without the folder the text is written to a temporary one.

    sites : `sites_as_text` of the model that was sent
    """
    return with_sites_from(_model_from_source(sources, expected_hash, folder), sites or {})


def _model_from_source(sources: dict[str, str], expected_hash: str | None, folder: Path | None):
    try:
        found, whole = hash_of_model(sources, source_of_part), code_hash(sources)
    except SyntaxError as error:
        raise ModelError(
            "the model file is not Python",
            subject="" if folder is None else f"model {folder.name}",
            place=f"{error.filename} line {error.lineno}" if error.filename else "",
            value=error.text or error.msg,
        ) from error
    if expected_hash is not None and found != expected_hash:
        raise ModelError(
            "the model's source does not have the hash it was sent with", value=found[:12], allowed=expected_hash[:12]
        )
    if (found, whole) in _loaded:
        return _loaded[found, whole]
    if folder is None:
        folder = _folder_of_this_process()
        for name, text in sources.items():
            (folder / name).write_text(text, encoding="utf-8")
    package = f"{PACKAGE}{found[:16]}_{whole[:16]}"
    model = getattr(_execute(folder, package), "model", None)
    if model is None or not hasattr(model, "parameters"):
        raise ModelError(
            "model.py defines no `model`", place=folder.name, next_step="End the file with model = Model(...)."
        )
    _sources[found, str(folder)] = dict(sources)
    _packages[found, str(folder)] = package
    _loaded[found, whole] = replace(model, source_hash=found, folder=str(folder))
    return _loaded[found, whole]


def _folder_of_this_process() -> Path:
    """A temporary folder that is removed when this process ends, a worker too, where `atexit` need not run."""
    folder = Path(tempfile.mkdtemp(prefix="bayestwin_model_"))
    Finalize(None, shutil.rmtree, (folder, True), exitpriority=0)
    return folder


def _execute(folder: Path, package: str):
    """Run model.py as `package.model`, so that `from .imwg import ...` works."""
    root = importlib.util.spec_from_loader(package, loader=None, is_package=True)
    root.submodule_search_locations = [str(folder)]
    sys.modules[package] = importlib.util.module_from_spec(root)
    spec = importlib.util.spec_from_file_location(f"{package}.model", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except ModelError as error:
        at = _line_of(error, folder)
        raise ModelError(
            error.problem,
            subject=error.subject or f"model {folder.name}",
            place=f"{error.place} ({at})" if error.place and at else error.place or at,
            value=error.value,
            allowed=error.allowed,
            next_step=error.next_step,
        ) from error
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"model.py stopped with {type(error).__name__}: {error}",
            subject=f"model {folder.name}",
            place=_line_of(error, folder),
        ) from error
    return module


def _line_of(error: BaseException, folder: Path) -> str:
    """The last line of a model's own files that an error passed: "model.py line 12"; "" where there is none."""
    lines = [
        f"{Path(frame.filename).name} line {frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve().parent == folder.resolve()
    ]
    return lines[-1] if lines else ""
