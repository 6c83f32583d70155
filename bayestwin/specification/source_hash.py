"""The hash by which a model is known: of its code, and of what its code names beyond the folder.

Own code: model.py and every neighbour that it imports, directly or through others. Beyond it: the files of the building
blocks that it imports from `bayestwin.dynamics.blocks`, and the models that it names as parts, `part_of("name")`; a
block or a part that changes makes another model. Imports and names that are computed are not seen. Comments,
docstrings and layout do not count, everything else does.
"""

import ast
import hashlib
import io
import tokenize
from pathlib import Path

BLOCKS = "bayestwin.dynamics.blocks"


def hash_of_model(sources: dict[str, str], source_of_part, within: tuple[str, ...] = ()) -> str:
    """The hash of a model from its source files.

    source_of_part : name of another model -> its source files; within : names of the models that this is a part of
    """
    files = model_sources(sources)
    own, blocks, parts = code_hash(files), _blocks(files), _parts(files)
    if not blocks and not parts:
        return own
    named = [code_hash({name: text}) for name, text in sorted(blocks.items())]
    for part in sorted(parts - set(within)):
        named.append(hash_of_model(source_of_part(part), source_of_part, (*within, part)))
    return hashlib.sha256("\n".join([own, *named]).encode()).hexdigest()


def _blocks(sources: dict[str, str]) -> dict[str, str]:
    """The files of the building blocks that these import, by name."""
    wanted: set[str] = set()
    for node in (node for text in sources.values() for node in ast.walk(ast.parse(text))):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{BLOCKS}."):
            wanted |= (
                {node.module.removeprefix(f"{BLOCKS}.")} if node.module != BLOCKS else {a.name for a in node.names}
            )
    if not wanted:
        return {}
    folder = Path(__file__).resolve().parents[1] / "dynamics" / "blocks"
    offered = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    homes = {
        a.name: node.module.rpartition(".")[2]
        for node in offered.body
        if isinstance(node, ast.ImportFrom)
        for a in node.names
    }
    chosen = set(homes.values()) if "*" in wanted else {homes.get(name, name) for name in wanted}
    files = (folder / f"{name}.py" for name in sorted(chosen))
    return {file.name: file.read_text(encoding="utf-8") for file in files if file.is_file()}


def _parts(sources: dict[str, str]) -> set[str]:
    """The models that these name as their parts."""
    found = set()
    for node in (node for text in sources.values() for node in ast.walk(ast.parse(text))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("part_of", "load_model") and node.args:
            if isinstance(node.args[0], ast.Constant):
                found.add(str(node.args[0].value))
    return found


def model_sources(sources: dict[str, str], first: str = "model.py") -> dict[str, str]:
    """Those files of a folder that `first` is made of: itself and every neighbour it imports, also through others.

    An import is seen wherever it stands in the file; one made by a computed name is not.
    """
    found, waiting = {}, [first]
    while waiting:
        name = waiting.pop()
        if name in found or name not in sources:
            continue
        found[name] = sources[name]
        for node in ast.walk(ast.parse(sources[name], filename=name)):
            if isinstance(node, ast.ImportFrom) and node.level:
                waiting += [f"{m}.py" for m in ([node.module] if node.module else [a.name for a in node.names])]
    return found


def code_hash(sources: dict[str, str]) -> str:
    """SHA-256 over the code tokens of these files; comments, docstrings and line breaks are left out.

    Tokens and not syntax trees, because the printed form of a tree changes between Python versions.
    """
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENCODING, tokenize.ENDMARKER)
    digest = hashlib.sha256()
    for name in sorted(sources):
        docstrings = _docstring_starts(ast.parse(sources[name], filename=name))
        digest.update(f"{name}\n".encode())
        line_ended = False
        for token in tokenize.generate_tokens(io.StringIO(sources[name]).readline):
            line_ended |= token.type == tokenize.NEWLINE
            if token.type in skipped or token.start in docstrings:
                continue
            if line_ended and token.type == tokenize.OP:  # "a", newline, "- b" is not "a - b"
                digest.update(b"\n\x00")
            line_ended = False
            text = {tokenize.INDENT: "{", tokenize.DEDENT: "}"}.get(token.type, token.string)
            digest.update(f"{text}\x00".encode())
    return digest.hexdigest()


def _docstring_starts(tree) -> set[tuple[int, int]]:
    starts = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef))
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, str)
        ):
            starts.add((body[0].lineno, body[0].col_offset))
    return starts
