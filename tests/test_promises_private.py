"""Promise 12, private: no machine's paths in the files, no connection that nobody asked for."""

import ast
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = {".py", ".md", ".toml", ".txt", ".csv", ".html", ".json", ".j2", ".svg", ".cfg", ".ini", ""}

# A folder of somebody's machine. Written in two halves, so that this file does not find itself.
MACHINE_PATH = re.compile(
    r"(?<![\w.$}])/(?:" + "|".join(("wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers", "t" + "mp")) + r")/\w"
)
CONNECTING = {"socket", "ssl", "http", "ftplib", "smtplib", "requests", "httpx", "aiohttp", "urllib3", "websockets"}


def shipped_files():
    """Files that git would carry, or every file where this is no git checkout."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
        return [ROOT / name for name in listed if (ROOT / name).is_file()]
    skipped = {".venv", ".cache", ".git", "__pycache__"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not skipped & set(path.relative_to(ROOT).parts)]


def machine_paths(text):
    """Lines of `text` that name a folder of one machine."""
    return [line.strip()[:100] for line in text.splitlines() if MACHINE_PATH.search(line)]


def test_no_file_names_a_folder_of_somebodys_machine():
    files = [path for path in shipped_files() if path.suffix in TEXT]
    found = {
        str(path.relative_to(ROOT)): lines
        for path in files
        if (lines := machine_paths(path.read_text(encoding="utf-8", errors="replace")))
    }
    assert not found
    assert len(files) > 10
    assert machine_paths("data = '/" + "home/anna/labs.csv'") and not machine_paths("https://example.org/home/x")


def test_the_pinned_versions_name_no_address():
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    odd = [
        line for line in pinned if line and not line.startswith("#") and not re.fullmatch(r"[\w.-]+==[\w.+!]+", line)
    ]
    assert not odd and len(pinned) > 50


def test_no_module_of_the_package_can_open_a_connection():
    for path in [*(ROOT / "bayestwin").rglob("*.py"), *(ROOT / "models").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            used = {name.split(".")[0] for name in names} & CONNECTING or {n for n in names if n == "urllib.request"}
            assert not used, f"{path.relative_to(ROOT)} imports {used}"


def test_a_connection_to_another_machine_fails_the_test_that_makes_it():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as reached,
        pytest.raises(AssertionError, match="nobody asked for"),
    ):
        reached.connect(("192.0.2.1", 80))
