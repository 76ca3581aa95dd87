"""`ostensor index`: without an index it says so, and what is asked wrongly is refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ostensor.commands import index as cli_index
from ostensor.commands.app import app
from ostensor.imaging.errors import BadCall, Unavailable
from ostensor.retrieval.passages.corpus import bundled_passages
from ostensor.tools.desk.knowledge import Knowledge, index_folder
from ostensor.workers.encoding import EncodingOptions

LISTS = Path(__file__).parents[1] / "retrieval" / "data"


def ostensor(*words: str) -> str:
    result = CliRunner().invoke(app, ["index", *words], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_without_an_index_words_alone_are_searched_and_it_says_so(tmp_path: Path) -> None:
    found = json.loads(ostensor("search", "galbladder", "--store", str(tmp_path), "--k", "3", "--json"))
    assert all("gallbladder" in row["passage"]["structure"] for row in found)
    assert all(row["dense_rank"] is None and row["passage"]["licence"] for row in found)
    result = CliRunner().invoke(app, ["index", "search", "galbladder", "--store", str(tmp_path)])
    assert "Run `ostensor index build`" in result.stderr
    with pytest.raises(Unavailable, match="no passage index yet"):
        ostensor("show", "--store", str(tmp_path))


def test_recall_of_the_committed_queries_is_printed(tmp_path: Path) -> None:
    lines = json.loads(ostensor("eval", str(LISTS / "queries.tsv"), "--store", str(tmp_path), "--json"))
    assert {line["channel"] for line in lines} == {"lexical"}
    assert [line["queries"] for line in lines if line["kind"] == "all"] == [110]


def test_the_share_of_phrasings_is_printed() -> None:
    lines = json.loads(ostensor("phrasings", str(LISTS / "phrasings.tsv"), "--json"))
    assert next(line for line in lines if line["kind"] == "all")["phrasings"] == 579
    assert "half: held" in ostensor("phrasings", str(LISTS / "phrasings.tsv"))


@pytest.mark.parametrize("command", ["eval", "phrasings"])
def test_a_file_of_another_kind_is_refused(command: str, tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("a\tb\n1\t2\n", encoding="utf-8")
    with pytest.raises(BadCall, match=r"'x\.tsv' is no file of"):
        ostensor(command, str(tmp_path / "x.tsv"), *(["--store", str(tmp_path)] if command == "eval" else []))
    with pytest.raises(BadCall, match=r"'none\.tsv'"):
        ostensor(command, str(tmp_path / "none.tsv"), *(["--store", str(tmp_path)] if command == "eval" else []))


def test_an_index_is_built_by_the_process_and_then_both_channels_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A toy encoder stands in for MiniLM; everything else is real."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "workers"))
    toy = "words_toy:ToyWords"
    monkeypatch.setattr(
        "ostensor.tools.desk.knowledge.EncodingOptions", lambda **options: EncodingOptions(factory=toy, **options)
    )
    store = ("--store", str(tmp_path))
    assert f"Indexed {len(bundled_passages())} passages" in ostensor("build", *store)
    assert {file.name for file in index_folder(tmp_path).iterdir()} == {"manifest.json", "dense.faiss"}
    facts = json.loads(ostensor("show", *store, "--json"))
    assert facts["usable"]
    assert facts["memory_mb"] > len(bundled_passages()) * 19 * 4 / 1e6
    knowledge = Knowledge(tmp_path)
    text = next(passage.text for passage in bundled_passages() if passage.id == "about:spleen")
    first = knowledge.retriever.search(text, 1)[0]
    knowledge.close()
    assert (first.passage.id, first.lexical_rank, first.dense_rank) == ("about:spleen", 1, 1)
    assert not knowledge.lacking


def test_every_command_has_help() -> None:
    for command in ("build", "show", "search", "eval", "phrasings"):
        assert "Usage" in ostensor(command, "--help")
    assert cli_index.app.registered_commands
