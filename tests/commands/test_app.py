"""The command line: what people and scripts type."""

import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ostensor import __version__
from ostensor.commands import app as cli
from ostensor.commands.app import app
from ostensor.commands.options import opened_desk
from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.tools.desk.desk import Desk


def ostensor(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("ostensor")), *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_call_prints_json_on_stdout_and_fails_with_one_line(root: Path, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "s")]
    done = ostensor("call", "open_image", "--args", '{"path": "ct.nii.gz"}', "--json", *store, cwd=root)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["modality"] == "ct"
    wrong = ostensor("call", "open_image", "--args", '{"path": "none.nii.gz"}', *store, cwd=root)
    assert wrong.returncode == 1
    assert wrong.stdout == ""
    assert len(wrong.stderr.strip().splitlines()) == 1
    assert "does not exist" in wrong.stderr


@pytest.mark.parametrize("args", ["[1]", "{path}"])
def test_arguments_that_are_no_json_object(args: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["call", "open_image", "--args", args, "--store", str(tmp_path)])
    assert isinstance(result.exception, BadCall)
    assert "JSON" in str(result.exception)


def test_pictures_go_to_a_folder(root: Path, tmp_path: Path) -> None:
    common = ["--store", str(tmp_path / "s"), "--root", str(root)]
    opened = CliRunner().invoke(app, ["call", "open_image", "--args", '{"path": "ct.nii.gz"}', "--json", *common])
    image = json.loads(opened.stdout)["image_id"]
    drawn = CliRunner().invoke(
        app, ["call", "render", "--args", json.dumps({"image_id": image}), "--pictures", str(tmp_path / "p"), *common]
    )
    assert drawn.exit_code == 0
    assert (tmp_path / "p" / "render_0.png").read_bytes().startswith(b"\x89PNG")


def test_a_paraphraser_that_is_not_there_is_named(
    desk: Desk, ask: Callable[..., Any], image_id: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option reaches the tool; what it then says needs a provider's key."""
    mask_id = ask("segment", image_id=image_id, structures=["liver"]).result["masks"][0]["mask_id"]
    monkeypatch.setattr(cli, "opened_desk", functools.partial(opened_desk, factory="desk_toy:load"))
    command = ["call", "write_prompts", "--args", json.dumps({"mask_id": mask_id}), "--paraphraser", "nobody:x"]
    result = CliRunner().invoke(app, [*command, "--store", str(desk.settings.store), "--root", str(root)])
    assert isinstance(result.exception, Unavailable)
    assert "The paraphraser 'nobody:x' cannot be used" in str(result.exception)


def test_models_list_and_show() -> None:
    listed = CliRunner().invoke(app, ["models", "list", "--json"])
    assert {row["name"] for row in json.loads(listed.stdout)} >= {"toy-ct", "toy-mr"}
    assert "ostensor models show NAME" in CliRunner().invoke(app, ["models", "list"]).stdout
    shown = CliRunner().invoke(app, ["models", "show", "toy-ct"])
    assert json.loads(shown.stdout)["licence"] == "CC0"


def test_the_list_of_models_fits_a_narrow_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = ostensor("models", "list", cwd=tmp_path)
    assert "sat-mini-hippocampus" in done.stdout
    assert "…" not in done.stdout


def test_store_ls_gc_repair(root: Path, tmp_path: Path) -> None:
    common = ["--store", str(tmp_path / "s")]
    CliRunner().invoke(app, ["call", "open_image", "--args", '{"path": "ct.nii.gz"}', "--root", str(root), *common])
    assert "61 x 53 x 29" in CliRunner().invoke(app, ["store", "ls", *common]).stdout
    assert "Freed 0.0 MB" in CliRunner().invoke(app, ["store", "gc", *common]).stdout
    assert "Nothing to repair" in CliRunner().invoke(app, ["store", "repair", *common]).stdout


def test_a_damaged_array_is_found_by_repair(root: Path, tmp_path: Path) -> None:
    common = ["--store", str(tmp_path / "s")]
    CliRunner().invoke(app, ["call", "open_image", "--args", '{"path": "ct.nii.gz"}', "--root", str(root), *common])
    array = next(path for path in (tmp_path / "s" / "arrays").rglob("*") if path.is_file())
    content = bytearray(array.read_bytes())
    content[-5] ^= 255
    array.chmod(0o644)
    array.write_bytes(bytes(content))
    result = CliRunner().invoke(app, ["store", "repair", *common])
    assert result.exit_code == 1
    assert "Damaged" in result.stdout


def test_options_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="Unknown toolsets"):
        opened_desk(tmp_path, None, "cores", "research")
    with pytest.raises(BadCall, match="not a folder"):
        opened_desk(tmp_path, [tmp_path / "none"], None, "research").close()


def test_every_command_has_help() -> None:
    for words in (
        [],
        ["serve"],
        ["call"],
        ["models"],
        ["models", "import"],
        ["store"],
        ["fit"],
        ["eval"],
        ["bench"],
        ["demo"],
    ):
        result = CliRunner().invoke(app, [*words, "--help"])
        assert result.exit_code == 0, words
        assert "Usage" in result.stdout


def test_alone_it_says_what_to_do_first(tmp_path: Path) -> None:
    alone = ostensor(cwd=tmp_path)
    assert (alone.returncode, alone.stderr) == (0, "")
    for word in (f"ostensor {__version__}", "ostensor demo", "ostensor ask", "ostensor serve", "--install-completion"):
        assert word in alone.stdout
    assert ostensor("--version", cwd=tmp_path).stdout == f"ostensor {__version__}\n"


def commands(group: Any, name: str = "ostensor") -> Iterator[tuple[str, Any]]:
    yield name, group
    for word, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{name} {word}")


def test_help_eats_no_brackets_and_draws_no_frames() -> None:
    """Every bracket written into a help text is read by who asks for help."""
    seen = 0
    for name, command in commands(typer.main.get_command(app)):
        shown = " ".join(CliRunner().invoke(app, [*name.split()[1:], "--help"]).output.split())
        texts = [parameter.help for parameter in command.params if getattr(parameter, "help", None)]
        for text in texts:
            for word in re.findall(r"\S*\[\S+", text):
                seen += 1
                assert word in shown, f"{name} --help loses {word}"
        assert "─" not in shown
    assert seen


def test_completion_knows_the_commands(tmp_path: Path) -> None:
    found = subprocess.run(
        [str(Path(sys.executable).with_name("ostensor"))],
        env={**os.environ, "_OSTENSOR_COMPLETE": "complete_bash", "COMP_WORDS": "ostensor se", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "serve" in found.stdout.split()
