"""One side of `bench segment` or `bench organ` in a process of its own: prints one line of JSON.

`python -m ostensor.benchmarks.against_monai.side TASK SIDE THREADS GIVEN MASKS.npz`. TASK is `body` (GIVEN: weights of the
made network) or `head` (GIVEN: folder of the data, or `-` for the template head). SIDE is `ours-bf16`, `ours-fp32` or
`monai-ROI-OVERLAP-fp32|bf16`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from ...imaging.masks.dice import dice
from ...imaging.volume import Volume
from ...models.inference.hardware import peak_mb
from ...models.inference.preprocess import Preparation, normalised, prepare
from ...models.inference.windows import body_box, fitted_tiles, padded
from ...models.interface import Precision
from ...models.language.satmini.engine import build_engine
from ...models.language.satmini.network import SatMini
from ...models.text.encoders import known_vectors
from .tasks import Task, body, head

Masks = npt.NDArray[np.bool_]
Steps = tuple[Callable[[], Any], Callable[[Any, list[str]], Masks]]
WINDOWS = tuple(f"monai-{window}-{overlap}-fp32" for window in (96, 128) for overlap in (0.25, 0.5))
_PRODUCT = 2048  # side of the matrices by which the processor is judged


def ours(task: Task, volume: Volume, threads: int, precision: Precision) -> Steps:
    """Encode, and decode, as a worker does it."""
    predictor = task.predictor(threads, precision)

    def encode() -> Any:
        return predictor.encode(volume, progress=lambda share: None, cancelled=lambda: False)

    def decode(features: Any, names: list[str]) -> Masks:
        return np.stack([one.array for one in predictor.decode(features, names)])

    return encode, decode


def monai(task: Task, volume: Volume, threads: int, window: int, overlap: float, fast: bool) -> Steps:
    """The same weights in plain torch through MONAI: orientation, spacing, sliding window, resampled logits."""
    from monai.data.meta_tensor import MetaTensor
    from monai.inferers.utils import sliding_window_inference
    from monai.transforms.spatial.array import Orientation, Spacing

    torch.set_num_threads(threads)

    def encode() -> Any:
        image = MetaTensor(
            torch.from_numpy(volume.array.astype(np.float32))[None], affine=torch.from_numpy(volume.grid.affine)
        )
        turned = Orientation("RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))(image)
        return Spacing(task.how.spacing_mm, mode="bilinear")(turned), turned

    @torch.inference_mode()
    def decode(given: Any, names: list[str]) -> Masks:
        small, turned = given
        array = normalised(small.numpy()[0], task.how.intensity, calibrated=True)
        text = torch.from_numpy(np.stack([known_vectors()[task.words[name]] for name in names]))
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            logits = sliding_window_inference(
                torch.from_numpy(array)[None, None],
                (window,) * 3,
                4,
                lambda x: task.net(x, text).float(),
                overlap=overlap,
            )
        assert isinstance(logits, torch.Tensor)
        full = F.interpolate(logits, size=tuple(turned.shape[1:]), mode="trilinear", align_corners=False)
        return np.asarray((torch.sigmoid(full) > 0.5)[0].numpy())

    return encode, decode


def engine_gflops(net: SatMini, how: Preparation, volume: Volume, precision: Precision, threads: int) -> float:
    """Floating-point operations a second of processor time, in thousand millions, of the tiles our side runs; best of 3."""
    run, _name = build_engine(net, threads=threads, precision=precision)
    array = prepare(volume, how).array
    box = body_box(array)
    seen = array[box.slices]
    tiles = [
        padded(seen[tile.outer.slices], net.config.stride)
        for tile in fitted_tiles((seen.shape[0], seen.shape[1], seen.shape[2]))
    ]
    with torch.device("meta"):
        shape = SatMini(net.config)
    with FlopCounterMode(display=False) as counter:
        for tile in tiles:
            shape.image_features(torch.empty(1, 1, *tile.shape, device="meta"))
    took = []
    for _ in range(3):
        start = time.process_time()
        for tile in tiles:
            run(tile[None, None])
        took.append(time.process_time() - start)
    return float(counter.get_total_flops() / min(took) / 1e9)


def product_gflops(precision: Precision, threads: int) -> float:
    """Floating-point operations a second, in thousand millions, of OpenVINO's product of two square matrices; best of 8."""
    import openvino as ov
    from openvino import opset13 as ops

    side = _PRODUCT
    given = ops.parameter([side, side], np.float32)
    weights = ops.constant(np.random.default_rng(0).standard_normal((side, side)).astype(np.float32))
    model = ov.Model([ops.matmul(given, weights, False, False)], [given])
    options = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32", "INFERENCE_NUM_THREADS": threads}
    request = ov.Core().compile_model(model, "CPU", options).create_infer_request()
    matrix = np.random.default_rng(1).standard_normal((side, side)).astype(np.float32)
    took = []
    for _ in range(8):
        start = time.process_time()
        request.infer([matrix])
        took.append(time.process_time() - start)
    return float(2 * side**3 / min(took) / 1e9)


def main(task: Task, side: str, threads: int, out: Path) -> None:
    """Time everything once, after a warm-up of the networks on a small scan of the same kind."""
    kind, *how = side.split("-")

    def make(seen: Volume) -> Steps:
        if kind == "ours":
            return ours(task, seen, threads, "bf16" if how[0] == "bf16" else "fp32")
        return monai(task, seen, threads, int(how[0]), float(how[1]), how[2] == "bf16")

    encode, decode = make(task.warm)
    decode(encode(), list(task.names[:1]))
    encode, decode = make(task.volume)
    before = peak_mb()
    cpu, wall = time.process_time(), time.perf_counter()
    features = encode()
    masks = decode(features, list(task.names))
    first = (time.process_time() - cpu, time.perf_counter() - wall)
    second = None
    if kind == "ours" or side == WINDOWS[0]:  # MONAI's others look at everything again as well
        cpu, wall = time.process_time(), time.perf_counter()
        decode(features, [task.names[-1]])
        second = (time.process_time() - cpu, time.perf_counter() - wall)
    np.savez_compressed(out, masks=np.packbits(masks))
    found = {
        "dice": {name: dice(masks[n], task.truth[name]) for n, name in enumerate(task.names) if name in task.truth},
        "first": first,
        "second": second,
        "peak_mb": peak_mb(),
        "before_mb": before,
    }
    if kind == "ours":
        precision: Precision = "bf16" if how[0] == "bf16" else "fp32"
        found |= {
            "engine_gflops": engine_gflops(task.net, task.how, task.volume, precision, threads),
            "product_gflops": product_gflops(precision, threads),
        }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    _given = sys.argv[4]
    _task = body(Path(_given)) if sys.argv[1] == "body" else head(None if _given == "-" else Path(_given))
    main(_task, sys.argv[2], int(sys.argv[3]), Path(sys.argv[5]))
