"""The process that encodes words: vectors as they are, refusals by kind, alive after a crash, torch kept out."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ostensor.imaging.errors import BadCall, Failed, Unavailable
from ostensor.models.text.encoders import HashedWords
from ostensor.workers.encoding import EncodingOptions, EncodingWorker

TOY = "words_toy:ToyWords"


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[EncodingWorker]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    toy = EncodingWorker(EncodingOptions(factory=TOY, patience_s=30))
    yield toy
    toy.close()


def test_vectors_come_back_as_the_encoder_made_them(worker: EncodingWorker) -> None:
    texts = ["left kidney", "liver", "a longer text about the spleen"]
    assert np.array_equal(worker.encode(texts), HashedWords(19).encode(texts))
    assert worker.encode(["liver"]).shape == (1, 19)


def test_refusals_keep_their_kind_and_the_process_lives_on(worker: EncodingWorker) -> None:
    with pytest.raises(BadCall, match="no texts"):
        worker.encode([])
    with pytest.raises(Unavailable, match="get it"):
        worker.encode(["gone"])
    with pytest.raises(Failed, match="ZeroDivisionError"):
        worker.encode(["bug"])
    before = worker.pid
    worker.encode(["liver"])
    assert worker.pid == before


def test_a_crash_fails_one_request_and_the_next_starts_anew(worker: EncodingWorker) -> None:
    worker.encode(["liver"])
    first = worker.pid
    with pytest.raises(Failed, match="starts anew"):
        worker.encode(["die"])
    assert worker.encode(["liver"]).shape == (1, 19)
    assert worker.pid not in (None, first)


def test_a_process_that_does_not_answer_is_ended(worker: EncodingWorker) -> None:
    worker.encode(["liver"])
    object.__setattr__(worker.options, "patience_s", 0.2)
    with pytest.raises(Failed, match="too long"):
        worker.encode(["sleep"])
    assert worker.pid is None


def test_the_asking_process_never_imports_a_language_model() -> None:
    script = "import sys; import ostensor.tools.desk.knowledge; print([n for n in ('torch','transformers','openvino','faiss') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
