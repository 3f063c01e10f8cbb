"""What the README shows works: its Python block runs, its commands are this project's, its links lead somewhere."""
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imsave

from benchmarks import readme
from npcbnet.data import digits

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_the_scripts_run(code, tmp_path):
    photo = 255 - digits.generate(1, seed=1)[0][0, 0].repeat(3, axis=1)  # 28 x 84, dark strokes, and coloured
    imsave(tmp_path / "photo.png", np.stack([photo] * 3, axis=2))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
                          env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("%") == (1 if "photo.png" in code else 5)


def test_there_are_two_set_up_commands():
    commands = [line for block in blocks("sh") for line in block.splitlines() if "pip install" in line]
    assert len(commands) == 2
    assert commands[0].endswith("python -m npcbnet.train digits") and commands[1].endswith("python -m pytest")


@pytest.mark.parametrize("command", sorted(set(re.findall(
    r"python -m ((?:npcbnet|examples|benchmarks)\.\w+)", README))))
def test_every_command_named_exists(command):
    place = ROOT / command.replace(".", "/")
    assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_every_link_leads_somewhere(link):
    assert (ROOT / link).exists()


def test_every_table_and_figure_is_what_the_result_files_say():
    assert "<!-- made from" in README
    assert README == readme.made(README), "run python -m benchmarks.readme"


def test_no_result_stands_outside_of_what_is_made():
    """Percent, times and microseconds are measured, so they come from a file."""
    typed = readme.BLOCK.sub("", README)
    assert not re.search(r"\d[\d.,]* ?(±|µs|times as)|±|\d\.\d+ ?(%|s\b|×)", typed)
