"""The installed package, away from any checkout: an empty folder, a wheel, and nothing written into the package."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OWN = """kind = "segmenting"
name = "sat-mini-torso"
title = "A torso of my own"
modality = "ct"
batch = 1
real_share = 0.0
[data]
torso_phantom = 1.0
[network]
dims = 3
features = [4, 8]
finest = 4
embed = 4
[preparation]
dims = 3
spacing_mm = [6.0, 6.0, 6.0]
intensity = "ct"
[view]
patch = [16, 16, 16]
[schedule]
steps = 3
save_every = 1
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed package and nothing else."""
    work = tmp_path_factory.mktemp("wheel")
    source = work / "source"  # setuptools leaves build/ beside what it builds
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False).stdout.decode()
    files = [ROOT / name for name in listed.split("\0") if name] or list(ROOT.rglob("*"))
    for file in files:
        if file.is_file() and ".venv" not in file.parts:
            target = source / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    built = ["wheel", str(source), "--no-deps", "--no-build-isolation", "--wheel-dir", str(work)]
    subprocess.run([*pip, *built], check=True, timeout=240, capture_output=True)
    (wheel,) = work.glob("*.whl")
    site = work / "site"
    subprocess.run([*pip, "install", str(wheel), "--no-deps", "--target", str(site)], check=True, timeout=240)
    return site


def run(site: Path, cwd: Path, *words: str) -> str:
    """What a command prints; the package is the installed one."""
    environment = {**os.environ, "PYTHONPATH": str(site), "XDG_DATA_HOME": str(cwd / "home")}
    environment.pop("OSTENSOR_DATA", None)
    command = [sys.executable, "-m", "ostensor.commands", *words]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def contents(site: Path) -> set[tuple[str, int]]:
    """Every file of the installed package, without what Python itself caches."""
    package = site / "ostensor"
    return {
        (str(file.relative_to(package)), file.stat().st_mtime_ns)
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def test_it_lists_calls_and_trains_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    before = contents(installed)
    where = subprocess.run(
        [sys.executable, "-c", "import ostensor; print(ostensor.__file__)"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(installed)
    models = json.loads(run(installed, tmp_path, "models", "list", "--json"))
    assert "sat-mini-torso" in json.dumps(models)
    found = run(installed, tmp_path, "call", "find_structures", "--args", '{"query": "liver"}', "--store", "store")
    assert "liver" in found
    (tmp_path / "own.toml").write_text(OWN, encoding="utf-8")
    assert "Run folder: runs/sat-mini-torso" in run(
        installed, tmp_path, "fit", "own.toml", "--until", "1", "--data", "."
    )
    assert (tmp_path / "runs" / "sat-mini-torso" / "checkpoint.pt").is_file()
    assert contents(installed) == before, "a wheel never writes into its own folder"


@pytest.mark.slow
def test_its_demo_runs(installed: Path, tmp_path: Path) -> None:
    before = contents(installed)
    run(installed, tmp_path, "demo")
    assert list(tmp_path.rglob("report.html"))
    assert contents(installed) == before
