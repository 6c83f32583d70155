"""The command line explains itself at once, and refuses a wrong command with exit code 2."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from bayestwin.cli import app

COMMANDS = (
    "demo",
    "check",
    "fit",
    "compare-fits",
    "crosscheck",
    "start",
    "update",
    "forecast",
    "report",
    "response",
    "replay",
    "scores",
    "simulate",
    "verify-updates",
)
COMMANDS += (
    "virtual-trial",
    "store-population",
    "refresh",
    "believed",
    "history",
    "erase",
    "verify-store",
    "store-migrate",
)
HEAVY = {
    "jax",
    "numpyro",
    "diffrax",
    "numpy",
    "pandas",
    "xarray",
    "scipy",
    "arviz",
    "pymc",
    "pytensor",
    "matplotlib",
    "pint",
    "jinja2",
    "sqlalchemy",
    "alembic",
}


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words], terminal_width=200)


def test_help_lists_every_command_and_the_exit_codes():
    answer = run("--help")
    assert answer.exit_code == 0
    assert all(command in answer.stdout for command in COMMANDS)
    assert "nothing usable" in answer.stdout


def test_a_file_is_no_folder_for_the_demo(tmp_path):
    (tmp_path / "labs.csv").write_text("", encoding="utf-8")
    answer = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "labs.csv")])
    assert answer.exit_code == 2 and "is a file" in " ".join(answer.output.replace("│", " ").split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_page(command):
    answer = run(command, "--help")
    assert answer.exit_code == 0
    assert "--" in answer.stdout


def test_help_imports_nothing_heavy():
    """Measured in modules and not in seconds, which depend on the machine."""
    listing = "atexit.register(lambda: print(*sys.modules, sep=chr(10)))"
    program = f"import atexit, sys; from bayestwin.cli import main; {listing}; main()"
    answer = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=True)
    loaded = {line.split(".")[0] for line in answer.stdout.splitlines()}
    assert "typer" in loaded and not loaded & HEAVY


def test_importing_the_package_loads_none_of_its_rooms():
    program = "import sys, bayestwin\nprint(*sys.modules, sep=chr(10))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(answer.stdout.splitlines())
    assert not loaded & HEAVY
    assert {name for name in loaded if name.startswith("bayestwin.")} == set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], "nonsense"),
        (["fit"], "--model"),
        (["check", "--labs", "no_such_file.csv"], "no_such_file.csv"),
        (["check", "--no-such-option"], "--no-such-option"),
        (["check"], "No data given"),
        (["start", "--out", "twin.nc"], "--population"),
        (["start", "--out", "twin.nc", "--model", "no_such_model"], "no_such_model"),
    ],
)
def test_a_wrong_command_ends_with_code_2_and_says_what_is_wrong(words, said):
    answer = run(*words)
    assert answer.exit_code == 2
    assert said in answer.output
    assert "Traceback" not in answer.output


@pytest.mark.parametrize("again", [["--labs", "b.csv"], ["--labs=b.csv"]])
def test_an_option_given_twice_is_a_usage_error_and_not_the_loss_of_the_first_file(again):
    found = CliRunner().invoke(app, ["check", "--model", "theophylline", "--labs", "a.csv", *again])
    assert found.exit_code == 2 and "--labs is given 2 times and takes one value" in found.output


def test_the_module_is_the_command():
    answer = subprocess.run([sys.executable, "-m", "bayestwin", "--version"], capture_output=True, text=True)
    assert answer.returncode == 0 and answer.stdout == run("--version").stdout
