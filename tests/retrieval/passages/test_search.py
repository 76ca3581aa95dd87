"""Fusing the channels, and recall on the committed queries."""

from pathlib import Path

import numpy as np
import pytest

from ostensor.retrieval.passages.corpus import Passage
from ostensor.retrieval.passages.evaluate import Query, evaluate, read_queries
from ostensor.retrieval.passages.index import build_index, open_index
from ostensor.retrieval.passages.search import FUSION_K, Retriever

DATA = Path(__file__).parents[1] / "data"
TEXTS = {"liver": "The liver makes bile.", "gallbladder": "A sac that keeps gall.", "femur": "The thigh has one bone."}
PASSAGES = tuple(Passage(f"p:{name}", name, "about", text, "us", "CC0") for name, text in TEXTS.items())
NEAR = {"where is gall kept": "A sac that keeps gall.", "bile": "The thigh has one bone."}


def encode(texts: list[str]) -> np.ndarray:
    """Unit vectors; each query of NEAR points at its text."""
    rows = [np.eye(3)[list(TEXTS.values()).index(NEAR.get(text, text))] for text in texts]
    return np.array(rows, dtype=np.float32)


@pytest.fixture
def both(tmp_path: Path) -> Retriever:
    build_index(PASSAGES, encode, "toy", tmp_path)
    return Retriever(PASSAGES, dense=open_index(tmp_path, PASSAGES, "toy"), encode=encode)


def test_fused_scores_are_sums_of_reciprocal_ranks(both: Retriever) -> None:
    """Cormack et al. 2009: 1 / (60 + rank) per channel. The lexical channel finds the liver alone for 'bile'."""
    found = {one.passage.structure: one for one in both.search("bile")}
    assert found["liver"].lexical_rank == 1
    assert found["femur"].lexical_rank is None
    assert found["femur"].dense_rank == 1
    assert found["femur"].score == pytest.approx(1 / (FUSION_K + 1), abs=1e-6)
    expected = 1 / (FUSION_K + 1) + 1 / (FUSION_K + found["liver"].dense_rank)
    assert found["liver"].score == pytest.approx(expected, abs=1e-6)
    assert next(iter(found)) == "liver"


def test_each_channel_can_be_asked_alone(both: Retriever) -> None:
    assert both.search("bile", 1, channel="lexical")[0].passage.structure == "liver"
    assert both.search("bile", 1, channel="dense")[0].passage.structure == "femur"
    assert both.channels == ("lexical", "dense", "fused")


def test_without_an_index_the_lexical_channel_answers(both: Retriever) -> None:
    alone = Retriever(PASSAGES)
    assert [one.passage.id for one in alone.search("bile")] == ["p:liver"]
    assert alone.channels == ("lexical",)
    assert alone.nbytes == both.nbytes - 3 * 3 * 4
    with pytest.raises(ValueError, match="needs an index"):
        alone.search("bile", channel="dense")


def test_questions_that_make_no_sense(both: Retriever) -> None:
    assert both.search("   ") == []
    with pytest.raises(ValueError, match="k is 0"):
        both.search("bile", 0)
    with pytest.raises(ValueError, match="both or neither"):
        Retriever(PASSAGES, encode=encode)


def test_recall_counts_passages_about_the_expected_structure(both: Retriever) -> None:
    lines = evaluate(both, (Query("bile", "liver", "x"), Query("bile", "femur", "y")), 1)
    found = {(line.channel, line.kind): (line.recall, line.hit) for line in lines}
    assert found["lexical", "x"] == (1, 1)
    assert found["lexical", "y"] == (0, 0)
    assert found["dense", "all"] == (0.5, 0.5)
    with pytest.raises(ValueError, match="about 'brain'"):
        evaluate(both, (Query("bile", "brain", "x"),))


def test_the_lexical_channel_finds_a_right_passage_for_four_of_five_committed_queries() -> None:
    """A floor well under the figure in docs/retrieval.md; `ostensor index eval` prints all channels."""
    queries = read_queries(DATA / "queries.tsv")
    assert len(queries) >= 100
    lines = evaluate(Retriever.lexical_only(), queries)
    assert next(line.hit for line in lines if line.kind == "all") >= 0.8
