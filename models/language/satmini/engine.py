"""Ways to run the image half of a bundled network: OpenVINO, or torch with folded norms.

OpenVINO was 2.4 to 5.3 times faster than torch on the same CPU (PERF.md §1); torch is the
fallback and serves GPUs. bfloat16 is used where the processor does it in hardware, float32
elsewhere; half precision never on a CPU.
"""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ....imaging.errors import BadCall, Unavailable
from ...backbones.exporting import convert_fixed
from ...backbones.table import backbone
from ...inference.code import code_key
from ...inference.converted import convert_to_openvino, converted
from ...inference.hardware import has_fast_bf16
from ...interface import Backend, Precision
from .fixed_classes import FixedClasses
from .network import SatMini
from .queried import QueriedBackbone

Segmenter = SatMini | FixedClasses | QueriedBackbone

log = logging.getLogger(__name__)

_CODE = ("models/blocks", "models/backbones", "models/language/satmini")  # what the traced network is written in

Float = npt.NDArray[np.float32]


class ImageHalf(nn.Module):
    """`SatMini.image_features` as a module of its own, with BatchNorm folded into the convolutions.

    It works on a copy: whatever an engine does to its half (folding, half precision, a device) leaves the network
    alone, whose text half stays in float32 beside it.
    """

    def __init__(self, net: Segmenter) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).eval()
        for block in [m for m in self.net.modules() if isinstance(m, nn.Sequential)]:
            if len(block) == 3 and isinstance(block[1], nn.BatchNorm2d | nn.BatchNorm3d):
                convolution: Any = block[0]
                block[0], block[1] = fuse_conv_bn_eval(convolution, block[1]), nn.Identity()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(b embed x y z) of (b channels x y z)."""
        return self.net.image_features(image)


def build_engine(
    net: Segmenter,
    *,
    device: str = "cpu",
    backend: Backend = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
) -> tuple[Callable[[Float], Float], str]:
    """A function from image to features (numpy in, numpy out) and the name of what runs it.

    Args:
        net: is left as it is; its image half is copied and folded.
        threads: of the CPU; None leaves the library's choice.

    Raises:
        BadCall: an unknown device.
        Unavailable: the device or the asked backend is not there.
    """
    where = _device(device)
    if precision == "auto":
        precision = "bf16" if has_fast_bf16(where) and _bears_bf16(net) else "fp32"
    half = ImageHalf(net)
    if where.type == "cpu" and backend in ("auto", "openvino") and not _must_stay(net):
        try:
            return _openvino(half, net, precision, threads), f"openvino {precision}"
        except Unavailable as error:
            if backend == "openvino":
                raise
            log.info("torch is used: %s", error)
        except ImportError as error:
            if backend == "openvino":
                raise Unavailable(
                    "OpenVINO is not installed. Install it with `pip install openvino`, or use torch."
                ) from error
            log.info("OpenVINO is not installed; torch is used")
    return _torch(half, net, where, precision, threads), f"torch {precision}"


def _window(net: Segmenter) -> tuple[int, ...]:
    """The only size the network is asked for; () for any."""
    return () if isinstance(net, SatMini) else tuple(net.config.window)


def _bears_bf16(net: Segmenter) -> bool:
    """Whether it was shown that half the digits change nothing: of the bundled networks' kind, not of scans and attention."""
    return isinstance(net, SatMini) or backbone(net.config.backbone).in_tiles


def _must_stay(net: Segmenter) -> bool:
    """Whether the network runs in torch: what is traced at one size is not sure to hold at others, unless it is cut into tiles."""
    return not (isinstance(net, SatMini) or _window(net) or backbone(net.config.backbone).in_tiles)


def _device(device: str) -> torch.device:
    try:
        where = torch.device(device)
    except RuntimeError as error:
        raise BadCall(f"Unknown device '{device}'. Use cpu or cuda.") from error
    if where.type == "cuda" and not torch.cuda.is_available():
        raise Unavailable("No CUDA device is present. Use --device cpu.")
    return where


def _torch(
    half: ImageHalf, net: Segmenter, where: torch.device, precision: str, threads: int | None
) -> Callable[[Float], Float]:
    if threads:
        torch.set_num_threads(threads)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    layout = torch.channels_last if net.config.dims == 2 else torch.channels_last_3d
    if not (isinstance(net, SatMini) or net.net.channels_last):
        layout = torch.contiguous_format
    half = half.to(where, kind)
    for value in half.parameters():
        if value.dim() == net.config.dims + 2:
            value.data = value.data.contiguous(memory_format=layout)

    @torch.inference_mode()
    def run(image: Float) -> Float:
        given = torch.from_numpy(np.ascontiguousarray(image)).to(where, kind).contiguous(memory_format=layout)
        features: Float = half(given).float().cpu().numpy()
        return features

    return run


def _key(half: ImageHalf) -> str:
    """Sha256 of all that the converted network is made of: every weight, and the code and libraries that convert it."""
    digest = hashlib.sha256(code_key(_CODE, ("torch", "openvino")).encode())
    digest.update(repr(half.net.config).encode())
    for name, value in half.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _openvino(half: ImageHalf, net: Segmenter, precision: str, threads: int | None) -> Callable[[Float], Float]:
    import openvino as ov

    window = _window(net)

    def convert() -> Any:
        sides, channels = list(window) or [2 * net.config.stride] * net.config.dims, net.config.channels
        if window:
            return convert_fixed(half, torch.randn(1, channels, *sides, generator=torch.Generator().manual_seed(0)))
        example = torch.zeros(1, channels, *sides)
        with torch.no_grad():  # traced once: to trace it again and compare, as is usual, takes three times as long
            traced = torch.jit.trace(half, example, check_trace=False)
        return convert_to_openvino(traced, example_input=example, input=[[-1, channels, *([-1] * net.config.dims)]])

    model = converted(_key(half), convert)
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    compiled = ov.Core().compile_model(model, "CPU", options)
    request = compiled.create_infer_request()

    def run(image: Float) -> Float:
        features: Float = request.infer([np.ascontiguousarray(image)])[compiled.output(0)]
        return features

    return run
