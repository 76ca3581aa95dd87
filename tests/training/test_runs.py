"""One reader for every kind of run: bundled configurations, files of one's own, and what is refused."""

from pathlib import Path

import pytest

from ostensor.imaging.errors import BadCall
from ostensor.training.configuration import bundled, read_configuration
from ostensor.training.runs import RUNS, read_run

ONE_OF_EACH = {
    "segmenting": "hippocampus",
    "referring": "lsms",
    "synthesis": "paint-hippocampus",
    "prognosis": "prognosis-synthetic",
    "raters": "hippocampus-raters",
    "finetuning": "sss",
    "prompting": "prompt-2d",
}


def test_every_kind_is_tried_here() -> None:
    assert set(ONE_OF_EACH) == {row.name for row in RUNS}


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_a_kind_has_its_four_functions(kind: str) -> None:
    code = next(row for row in RUNS if row.name == kind).code()
    assert all(callable(getattr(code, name)) for name in ("read", "fit", "evaluate", "export"))


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_configuration_is_read_by_its_kind(name: str) -> None:
    kind, run = read_run(name)
    assert kind.name == read_configuration(name).kind
    assert run.name
    assert run.schedule.steps > 0


@pytest.mark.parametrize(("kind", "name"), ONE_OF_EACH.items())
def test_a_file_of_ones_own_is_read_as_it_stands_whatever_its_kind(kind: str, name: str, tmp_path: Path) -> None:
    """Even under the name of a bundled one: a painting file was once silently read as the bundled one."""
    path = tmp_path / bundled()[name].name
    path.write_text(f'extends = "{name}"\nname = "mine"\n[schedule]\nsteps = 3\n', encoding="utf-8")
    if kind != "synthesis":  # which extends itself by name, so a copy stands for it
        own, run = read_run(path)
        assert (own.name, run.name, run.schedule.steps) == (kind, "mine", 3)
    text = bundled()[name].read_text(encoding="utf-8")
    path.write_text(text.replace("[schedule]\nsteps = ", "[schedule]\nsteps = 9"), encoding="utf-8")
    assert read_run(path)[1].schedule.steps == int(f"9{read_run(name)[1].schedule.steps}")


def test_what_extends_keeps_tables_and_replaces_values(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text('kind = "segmenting"\na = [1, 2]\n[t]\nx = 1\ny = 2\n', encoding="utf-8")
    (tmp_path / "over.toml").write_text('extends = "base.toml"\na = [3]\n[t]\ny = 5\n', encoding="utf-8")
    assert read_configuration(tmp_path / "over.toml").values == {"a": [3], "t": {"x": 1, "y": 5}}


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("name = ", "is no TOML file"),
        ('name = "x"', "does not say its kind"),
        ('kind = "dreaming"', "unknown kind 'dreaming'. Known: segmenting, referring, synthesis, prognosis, raters"),
        ('extends = "x.toml"', "extends itself"),
        ('extends = "nowhere"', "No configuration 'nowhere'"),
        ('kind = "segmenting"', "lacks the key"),
        ('kind = "segmenting"\ncolour = 1', "The key 'colour' of 'x' is not known"),
        ('extends = "hippocampus"\nobjective = "txt"', "Unknown objective 'txt'. Closest: 'text'"),
        ('extends = "hippocampus"\n[network]\ndims = 3\nbackbone = "unett"', "Closest: 'unet'"),
        (
            'extends = "hippocampus"\nobjective = "supervised"\nnegatives = 1',
            "The key 'negatives' of 'x' is not known",
        ),
        ('extends = "paint-hippocampus"\ntask = "paint"', "The task 'paint'"),
        ('extends = "paint-hippocampus"\nstructures = ["liver"]', "does not outline liver"),
        ('extends = "hippocampus-raters"\nhead = "liver"', "does not outline liver"),
        ('extends = "lsms"\nstart = "somewhere"', "'somewhere' is not among"),
    ],
)
def test_what_is_wrong_is_said(text: str, fact: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadCall, match=fact):
        read_run(path)


def test_an_unknown_name_is_answered_with_near_ones() -> None:
    with pytest.raises(BadCall, match=r"Bundled ones: .*paint-hippocampus"):
        read_run("paint-hipocampus")
