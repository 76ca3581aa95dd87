"""Survival curves of trained heads, in numpy: the same numbers as `models/prognosis/heads.py`, without torch.

An ensemble of heads, each trained on patients drawn with replacement, answers with its mean; the
spread of its members is the interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Weights = Mapping[str, Array]
INTERVAL = "5th to 95th percentile of a bootstrap ensemble"


@dataclass(frozen=True)
class Curves:
    """Survival of patients at days.

    Attributes:
        days: (t), 0 first.
        members: (m b t), each member's S(t).
    """

    days: Array
    members: Array

    @property
    def mean(self) -> Array:
        """S(t) (b t) of the ensemble."""
        return np.asarray(self.members.mean(axis=0))

    @property
    def low(self) -> Array:
        """5th percentile over members."""
        return np.asarray(np.percentile(self.members, 5, axis=0))

    @property
    def high(self) -> Array:
        """95th percentile over members."""
        return np.asarray(np.percentile(self.members, 95, axis=0))

    @property
    def risk(self) -> Array:
        """Sum of the cumulative hazard -log S over the days; higher is worse. Source: spec §7."""
        return np.asarray(-np.log(np.clip(self.mean[:, 1:], 1e-6, 1.0)).sum(axis=1))

    def at(self, patient: int, day: float, values: Array | None = None) -> float:
        """S of one patient on a day, by straight lines between the days.

        Args:
            values: (b t), the mean unless given.
        """
        row = (self.mean if values is None else values)[patient]
        return float(np.interp(day, self.days, row))

    def median_day(self, patient: int) -> float | None:
        """First day with S at most one half; None when it is not reached."""
        row = self.mean[patient]
        below = np.flatnonzero(row <= 0.5)
        if not below.size:
            return None
        n = int(below[0])
        share = (row[n - 1] - 0.5) / max(row[n - 1] - row[n], 1e-12)
        return float(self.days[n - 1] + share * (self.days[n] - self.days[n - 1]))


@dataclass(frozen=True)
class Ensemble:
    """Heads of one shape.

    Attributes:
        config: as `models.survival.SurvivalConfig` writes it.
        edges: inner bin edges in days; the last is the longest horizon.
        members: weights by parameter name; Cox heads also hold `baseline`, the cumulative hazard at the edges.
        shrink: small tables make heads too sure of themselves, so log odds of S are drawn towards the
            cohort's; 1 leaves them, 0 gives everybody the cohort's curve. Ranks at each day stay.
        centre: the cohort's mean log odds of S at the edges.
    """

    config: Mapping[str, Any]
    edges: tuple[float, ...]
    members: tuple[Weights, ...]
    shrink: float = 1.0
    centre: tuple[float, ...] = ()

    def curves(self, image: Array, ehr: Array, text: Array | None = None) -> Curves:
        """Curves of patients given as rows (b i), (b e), (b t)."""
        words = np.zeros((len(ehr), 0)) if text is None else text
        inner = self._edges_of(self._together, image, ehr, words)
        if self.shrink < 1:
            middle = np.array(self.centre)
            inner = 1 / (1 + np.exp(-(middle + self.shrink * (log_odds(inner) - middle))))
        start = np.ones((*inner.shape[:2], 1))
        return Curves(np.array([0.0, *self.edges]), np.concatenate([start, inner], axis=2))

    @cached_property
    def _together(self) -> Weights:
        """Every member's weights, stacked along a first axis."""
        return {name: np.stack([weights[name] for weights in self.members]) for name in self.members[0]}

    def _edges_of(self, weights: Weights, image: Array, ehr: Array, text: Array) -> Array:
        scores = head_scores(weights, self.config, image, ehr, text)
        if self.config["kind"] == "cox":
            return np.asarray(np.exp(-np.exp(scores) * weights["baseline"][..., None, :]))
        return survival_at_edges(scores, self.config["kind"])


def log_odds(survival: Array) -> Array:
    """log(S / (1 - S)), S kept away from 0 and 1."""
    kept = np.clip(survival, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(kept / (1 - kept)))


def head_scores(weights: Weights, config: Mapping[str, Any], image: Array, ehr: Array, text: Array) -> Array:
    """Raw scores (b outputs), or (m b outputs) of stacked weights; see `SurvivalHeads.forward`."""
    plain = np.concatenate([image, ehr], axis=1) if config["image"] + config["ehr"] else text
    score: Array = _linear(weights, "direct", plain) + weights["offset"][..., None, :]
    if not config["hidden"]:
        return score
    x = image if config["image"] + config["ehr"] else text
    if config["ehr"]:
        record = _elu(_linear(weights, "ehr_mlp", ehr))
        x = np.concatenate([np.broadcast_to(image, (*record.shape[:-1], image.shape[1])), record], axis=-1)
    if "film.weight" in weights:
        gamma, beta = np.split(_linear(weights, "film", text), 2, axis=-1)
        x = (1 + gamma) * x + beta
    norm = {name: weights[f"norm.{name}"][..., None, :] for name in ("running_mean", "running_var", "weight", "bias")}
    x = (_linear(weights, "fused", x) - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5)
    x = x * norm["weight"] + norm["bias"]
    return np.asarray(score + _linear(weights, "last", _elu(x)))


def survival_at_edges(scores: Array, kind: str) -> Array:
    """S at the inner edges (... b k-1) of raw scores."""
    logits = scores
    if kind == "mtlr":
        last = np.zeros((*scores.shape[:-1], 1))
        logits = np.concatenate([np.cumsum(scores[..., ::-1], axis=-1)[..., ::-1], last], axis=-1)
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return np.asarray(np.clip(1 - np.cumsum(p, axis=-1)[..., :-1], 0.0, 1.0))


def contributions(
    ensemble: Ensemble, image: Array, ehr: Array, background: tuple[Array, Array], groups: Sequence[Sequence[int]]
) -> Array:
    """How much each group of columns moves one patient's risk (g).

    Permutation: the patient's own columns are replaced by those of each background patient in turn;
    the contribution is the patient's risk minus the mean of those. Positive raises the risk.

    Args:
        image, ehr: (1 i) and (1 e).
        background: (n i) and (n e) rows of cohort patients.
        groups: columns of [image, ehr] put together.
    """
    others = np.concatenate(background, axis=1)
    own = np.concatenate([image, ehr], axis=1)
    rows = [own]
    for columns in groups:
        swapped = np.repeat(own, len(others), axis=0)
        swapped[:, list(columns)] = others[:, list(columns)]
        rows.append(swapped)
    together = np.concatenate(rows)
    cut = image.shape[1]
    risk = ensemble.curves(together[:, :cut], together[:, cut:]).risk
    return np.asarray(risk[0] - risk[1:].reshape(len(groups), len(others)).mean(axis=1))


def _linear(weights: Weights, name: str, x: Array) -> Array:
    return np.asarray(x @ np.swapaxes(weights[f"{name}.weight"], -1, -2) + weights[f"{name}.bias"][..., None, :])


def _elu(x: Array) -> Array:
    return np.asarray(np.where(x > 0, x, np.expm1(np.minimum(x, 0.0))))
