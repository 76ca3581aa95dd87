"""What our contract adds to an engine: our call beside the engine's own, on the same array and weights."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from ...imaging.errors import BadCall, Failed
from ...imaging.volume import Volume
from ...models.external.card import card_of
from ...models.external.engine import Engine
from ...models.external.orientation import turn_to
from ...models.external.predictor import HostedPredictor, load
from ...models.external.shelf import engine_of
from ...models.interface import Running

SIDE = Path(__file__).parent / "engine_side.py"
OWN = ("nnunet", "totalsegmentator")
Times = list[tuple[float, float]]  # wall and processor seconds of each call


def run(
    name: str, volume: Volume, *, rounds: int, report: Callable[[float, str], None] = lambda share, words: None
) -> str:
    """A table in Markdown.

    Raises:
        BadCall: an engine that has no Python call of its own.
        Failed: that call fails.
    """
    engine = engine_of(name)
    if engine.adapter not in OWN:
        raise BadCall(f"'{name}' has no Python call of its own to compare with. Give an engine of: {', '.join(OWN)}.")
    report(0.05, "the engine's own call")
    theirs, total = own_calls(engine, volume, rounds)
    report(0.5, "ours")
    ours, ours_total = our_calls(engine, volume, rounds)
    same = "the same labels" if total == ours_total else f"labels that differ (sums {total} and {ours_total})"
    rows = ["| call | first, CPU s | warm, CPU s | warm, wall s |", "|---|---|---|---|"]
    for told, times in (("the engine's own", theirs), (f"ours, {same}", ours)):
        wall, spent = np.median(np.array(times[1:]), axis=0)
        rows.append(f"| {told} | {times[0][1]:.2f} | {spent:.2f} | {wall:.2f} |")
    shape = " x ".join(str(edge) for edge in volume.grid.shape)
    return f"{engine.title}, {shape} voxels, median of {rounds - 1} warm calls:\n\n" + "\n".join(rows)


def our_calls(engine: Engine, volume: Volume, rounds: int) -> tuple[Times, int]:
    """Times of our calls, the engine's process counted, and the sum of the answer's labels."""
    card = card_of(engine)
    predictor = load(card, Path(card.weights_file), Running(threads=1))
    assert isinstance(predictor, HostedPredictor)
    names = [one.structure or one.label for one in engine.classes]
    times, total = [], 0
    try:
        for _ in range(rounds):
            started, spent = time.perf_counter(), _used(predictor)
            found, _asked = predictor.look(
                [volume], "", names, progress=lambda share, words: None, cancelled=lambda: False
            )
            times.append((time.perf_counter() - started, _used(predictor) - spent))
            total = sum(int(one.array.sum()) * engine.values_of(one.structure)[0] for one in found)
    finally:
        predictor.close()
    return times, total


def own_calls(engine: Engine, volume: Volume, rounds: int) -> tuple[Times, int]:
    """Times of the engine's own call, in its own Python, and the sum of its labels."""
    turn = turn_to(volume.grid, engine.orientation)
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.npz"
        np.savez(image, array=turn.of(volume.array), spacing=np.array(turn.grid(volume.grid).spacing_mm))
        command = [engine.python or sys.executable, str(SIDE), engine.adapter, engine.folder, json.dumps(dict(engine.options)), str(image), str(rounds)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"The engine's own call failed: {done.stderr.strip().splitlines()[-1][:300]}")
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return [(wall, spent) for wall, spent in told["times"]], int(told["sum"])


def _used(predictor: HostedPredictor) -> float:
    """Processor seconds of this process and of the engine's."""
    ours = time.process_time()
    process = predictor._process
    if process is None or not process.is_alive:
        return ours
    times = psutil.Process(process.pid).cpu_times()
    return float(ours + times.user + times.system)
