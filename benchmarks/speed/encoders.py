"""One MiniLM, three readers: OpenVINO (who answers a user), sentence-transformers and transformers with our pooling.

`python -m ostensor.benchmarks.speed.encoders` prints the table. Every round starts each reader in a fresh process, one after
the other, on one thread; loading counts imports and the check of the weights. The vectors are compared as well.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ...models.inference.hardware import peak_mb
from ...retrieval.passages.corpus import bundled_passages
from ..machine import described

READERS = ("OpenVINO", "sentence-transformers", "transformers")
SENTENCE = "the kidney on the patient's left"
PASSAGES, AGAIN = 100, 15
STEPS = {
    "load": "load, imports included",
    "first": "first sentence",
    "again": f"a sentence again, median of {AGAIN}",
    "many": f"{PASSAGES} passages at once",
}


def run(*, rounds: int = 5) -> str:
    """A Markdown table of medians over the rounds: processor time, and wall time in brackets."""
    found: dict[str, list[dict[str, Any]]] = {reader: [] for reader in READERS}
    with tempfile.TemporaryDirectory() as folder:
        _side("OpenVINO", Path(folder))  # converts the weights once, as the first query of an installation does
        for _ in range(rounds):
            for reader in READERS:
                found[reader].append(_side(reader, Path(folder)))
        vectors = [np.load(Path(folder) / f"{reader}.npy") for reader in READERS]
    lines = [f"| what | {' | '.join(READERS)} |", f"|{'---|' * (len(READERS) + 1)}"]
    for step, what in STEPS.items():
        cells = [_cell([row[step] for row in found[reader]]) for reader in READERS]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    peaks = [f"{statistics.median(row['peak_mb'] for row in found[reader]):.0f}" for reader in READERS]
    lines.append(f"| peak memory, MB | {' | '.join(peaks)} |")
    apart = [f"{np.abs(one - vectors[1]).max():.1e}" for one in vectors]
    lines.append(f"| largest difference to sentence-transformers | {' | '.join(apart)} |")
    told = f"Processor time (wall time), medians of {rounds} interleaved rounds, one thread. {described()}."
    return "\n".join([*lines, "", told])


def _cell(took: list[tuple[float, float]]) -> str:
    cpu, wall = (statistics.median(values) * 1000 for values in zip(*took, strict=True))
    return f"{cpu:.0f} ms ({wall:.0f})"


def _side(reader: str, folder: Path) -> dict[str, Any]:
    words = [sys.executable, "-m", "ostensor.benchmarks.speed.encoders", "--side", reader, "--folder", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _measured(reader: str, folder: Path) -> dict[str, Any]:
    """Processor and wall seconds of each step, in this process."""
    passages = [one.text for one in bundled_passages()]
    passages = passages[:: len(passages) // PASSAGES][:PASSAGES]
    load, encode = _timed(lambda: _loaded(reader, folder))
    first, _ = _timed(lambda: encode([SENTENCE]))
    again = [_timed(lambda: encode([SENTENCE]))[0] for _ in range(AGAIN)]
    many, vectors = _timed(lambda: encode(passages))
    np.save(folder / f"{reader}.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    middle = tuple(statistics.median(values) for values in zip(*again, strict=True))
    return {"load": load, "first": first, "again": middle, "many": many, "peak_mb": peak_mb()}


def _loaded(reader: str, folder: Path) -> Callable[[list[str]], Any]:
    if reader == "OpenVINO":
        from ...models.text.fast import FastMiniLm

        return FastMiniLm(folder, threads=1).encode
    from ...models.text.encoders import MiniLmEncoder, TransformerEncoder, checked_minilm_folder

    if reader == "transformers":
        return TransformerEncoder(checked_minilm_folder(), name="MiniLM").encode
    return MiniLmEncoder().encode


def _timed(work: Callable[[], Any]) -> tuple[tuple[float, float], Any]:
    cpu, wall = time.process_time(), time.perf_counter()
    made = work()
    return (time.process_time() - cpu, time.perf_counter() - wall), made


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    side: Annotated[str, typer.Option(hidden=True)] = "",
    folder: Annotated[Path, typer.Option(hidden=True)] = Path(),
) -> None:
    """Print the table."""
    print(json.dumps(_measured(side, folder)) if side else run(rounds=rounds))


if __name__ == "__main__":
    typer.run(main)
