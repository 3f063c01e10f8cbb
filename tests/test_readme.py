"""What the README shows works: its Python block runs, its commands are this project's, its links lead somewhere."""
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_the_script_runs(code, tmp_path):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
                          env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("%") == 5


def test_there_are_two_set_up_commands():
    commands = [line for block in blocks("sh") for line in block.splitlines() if "pip install" in line]
    assert len(commands) == 2
    assert commands[0].endswith("python -m npcbnet.train digits") and commands[1].endswith("python -m pytest")


@pytest.mark.parametrize("command", sorted(set(re.findall(
    r"python -m ((?:npcbnet|examples|benchmarks)\.\w+)", README))))
def test_every_command_named_exists(command):
    assert (ROOT / (command.replace(".", "/") + ".py")).is_file()


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_every_link_leads_somewhere(link):
    assert (ROOT / link).exists()


def test_every_number_in_the_results_is_in_the_result_files():
    """The table is a copy of what the benchmark wrote."""
    written = (ROOT / "benchmarks/results/accuracy.md").read_text(encoding="utf-8")
    rows = [line for line in README.splitlines() if line.startswith("|") and "±" in line]
    assert rows and all(row in written for row in rows)
