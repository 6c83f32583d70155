"""Promise 12, private: no machine's paths in the files, no connection that nobody asked for."""

import ast
import re
import shutil
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from bayestwin.errors import RecordError, StoreError
from bayestwin.report.inputs import gather_report_input
from bayestwin.twin.belongs import refuse_other_patient

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


@pytest.mark.parametrize("key", ["Anna Schmidt", "Schmidt, Anna", "anna@example.org", "P-1 born 1961-03-09"])
def test_an_error_leaves_a_key_that_looks_like_a_person_out_of_every_part(key):
    error = RecordError(
        f"{key} has two rows",
        subject=f"patient {key}",
        place=f"{key}.csv",
        value=key,
        allowed=key,
        next_step=f"Ask {key}.",
    )
    parts = (error.problem, error.subject, error.place, error.value, error.allowed, error.next_step, str(error))
    assert all(key not in part and "(key not shown)" in part for part in parts)
    assert "P-017" in str(RecordError("two rows", subject="patient P-017", value=3)) and error.args == (str(error),)


def test_of_two_patients_in_one_error_neither_is_named():
    one, other = (SimpleNamespace(key=name) for name in ("Anna Schmidt", "Berta Meier"))
    with pytest.raises(RecordError) as found:
        refuse_other_patient(one, other)
    hashes = SimpleNamespace(hash="a" * 64, data_hash="a" * 64)
    twin = SimpleNamespace(key="Anna Schmidt", model=hashes, record=hashes, population_hash="a" * 64)
    prognosis = SimpleNamespace(patient="Berta Meier", model=hashes, twin_hash="a" * 64, population_hash="a" * 64)
    with pytest.raises(StoreError) as unlike:
        gather_report_input(twin, prognosis)
    for error in (found, unlike):
        assert not re.search("Anna|Schmidt|Berta|Meier", str(error.value)) and "(key not shown)" in str(error.value)
