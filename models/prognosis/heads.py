"""Prognosis heads: from image features, a record and a text to survival over time.

Paper: the DuPLUS prognosis branch is unpublished (arXiv 2510.03483 shows a figure only). Default after
    the same group's SurvRNC (numanai/SurvRNC, MIT): multi-task logistic regression, MTLR (Yu et al., NIPS
    2011), over quantile bins. Options: DeepHit for one risk (Lee et al., AAAI 2018), Cox.
Takes: image features (b i), record vectors with missing indicators (b e), text vectors (b t); a
    configuration names those it uses.
Returns: logits over time bins (b k), or one log hazard ratio (b 1) for Cox.
Weights: `ostensor fit prognosis-...`; inference without torch is in `models/prognosis/curves.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

Kind = Literal["mtlr", "deephit", "cox"]


@dataclass(frozen=True)
class SurvivalConfig:
    """Widths of a head; a part of width 0 is not used (image-only, EHR-only, text-only, fused).

    Attributes:
        image, ehr, text: lengths of the three inputs.
        bins: K time bins; the last is open.
        ehr_hidden: width of the record's own MLP. Source: spec §3, 64.
        hidden: width of the fused MLP, 0 leaves only the direct path. Source: spec §3, 256.
        dropout: before the last layer. Source: spec §3, 0.3-0.5.
        l2: weight of the squared weights in the loss.
    """

    image: int
    ehr: int
    text: int = 0
    kind: Kind = "mtlr"
    bins: int = 10
    ehr_hidden: int = 64
    hidden: int = 256
    dropout: float = 0.4
    l2: float = 1e-3

    @property
    def outputs(self) -> int:
        """Numbers the head computes per patient: MTLR needs one less than it has bins."""
        return {"mtlr": self.bins - 1, "deephit": self.bins, "cox": 1}[self.kind]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SurvivalConfig:
        """The configuration whose `vars` were written to a file."""
        return cls(**values)


class _Linears(nn.Module):
    """One linear layer per member: (m b in) to (m b out)."""

    def __init__(self, members: int, inside: int, outside: int, *, zero: bool = False) -> None:
        super().__init__()
        bound = 0.0 if zero else inside**-0.5
        self.weight = nn.Parameter(torch.empty(members, outside, inside).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(members, outside))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.baddbmm(self.bias[:, None], x, self.weight.transpose(1, 2))


class _Norms(nn.Module):
    """BatchNorm per member, over its own patients."""

    def __init__(self, members: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, width))
        self.bias = nn.Parameter(torch.zeros(members, width))
        self.register_buffer("running_mean", torch.zeros(members, width))
        self.register_buffer("running_var", torch.ones(members, width))
        self.running_mean: torch.Tensor
        self.running_var: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(dim=1), x.var(dim=1, unbiased=False)
            with torch.no_grad():  # momentum 0.1, as torch's
                self.running_mean.lerp_(mean, 0.1)
                self.running_var.lerp_(var * x.shape[1] / max(x.shape[1] - 1, 1), 0.1)
        scale = self.weight * (var + 1e-5).rsqrt()
        return (x - mean[:, None]) * scale[:, None] + self.bias[:, None]


class SurvivalHeads(nn.Module):
    """Heads of one shape, trained side by side: concatenated features, modulated by the text (FiLM), one
    hidden layer; beside it a direct linear risk.

    The direct path is ours: one weight per feature, shared by all bins, is all that a table of 150
    patients can teach. No member sees another's patients or weights.
    """

    def __init__(self, config: SurvivalConfig, members: int = 1) -> None:
        super().__init__()
        self.config, self.members = config, members
        plain = config.image + config.ehr
        self.direct = _Linears(members, plain or config.text, 1, zero=True)
        self.offset = nn.Parameter(torch.zeros(members, config.outputs))
        if not config.hidden:
            return
        if config.ehr:
            self.ehr_mlp = _Linears(members, config.ehr, config.ehr_hidden)
        width = config.image + (config.ehr_hidden if config.ehr else 0)
        if config.text and width:
            self.film = _Linears(members, config.text, 2 * width, zero=True)
        self.fused = _Linears(members, width or config.text, config.hidden)
        self.norm = _Norms(members, config.hidden)
        self.last = _Linears(members, config.hidden, config.outputs)

    def forward(self, image: torch.Tensor, ehr: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Raw scores (m b outputs) of (m b i), (m b e), (m b t); unused parts have width 0."""
        plain = torch.cat([image, ehr], dim=2) if self.config.image + self.config.ehr else text
        score: torch.Tensor = self.direct(plain) + self.offset[:, None]
        if not self.config.hidden:
            return score
        x = torch.cat([image, F.elu(self.ehr_mlp(ehr))], dim=2) if self.config.ehr else image
        if not x.shape[2]:
            x = text
        if hasattr(self, "film"):
            gamma, beta = self.film(text).chunk(2, dim=2)
            x = (1 + gamma) * x + beta
        x = F.dropout(F.elu(self.norm(self.fused(x))), self.config.dropout, self.training)
        more: torch.Tensor = self.last(x)
        return score + more


def bin_logits(scores: torch.Tensor, kind: Kind) -> torch.Tensor:
    """Logits (b k) over time bins.

    MTLR cumulates its K-1 scores through a triangular matrix: bin k gets the sum of scores k and
    later, the open last bin 0, so that neighbouring bins differ by one score.
    """
    if kind != "mtlr":
        return scores
    return F.pad(scores.flip(1).cumsum(1).flip(1), (0, 1))


def binned_likelihood(logits: torch.Tensor, bins: torch.Tensor, died: torch.Tensor) -> torch.Tensor:
    """Mean negative log likelihood of bins: the event's own bin, or that bin and all later if censored.

    Source: spec §4 (MTLR); DeepHit's first term is the same with free logits.
    """
    log_p = torch.log_softmax(logits, dim=1)
    at = log_p.gather(1, bins[:, None])[:, 0]
    later = torch.arange(logits.shape[1], device=logits.device)[None] >= bins[:, None]
    tail = torch.logsumexp(log_p.masked_fill(~later, float("-inf")), dim=1)
    return -torch.where(died, at, tail).mean()


def deephit_ranking(logits: torch.Tensor, bins: torch.Tensor, died: torch.Tensor, sigma: float = 0.1) -> torch.Tensor:
    """Penalty for pairs in the wrong order: patient i died in a bin before j's.

    Source: Lee et al. 2018, eq. 4, with sigma 0.1 (spec §4).
    """
    incidence = torch.softmax(logits, dim=1).cumsum(1)
    own = incidence.gather(1, bins[:, None])
    other = incidence[:, bins].T  # row i, column j: incidence of j at i's bin
    pairs = died[:, None] & (bins[:, None] < bins[None, :])
    return torch.where(pairs, torch.exp((other - own) / sigma), 0.0).sum() / pairs.sum().clamp(min=1)


def cox_likelihood(risk: torch.Tensor, days: torch.Tensor, died: torch.Tensor) -> torch.Tensor:
    """Mean negative log partial likelihood over deaths; ties after Breslow."""
    at_risk = days[None, :] >= days[:, None]
    total = torch.logsumexp(risk[None, :].masked_fill(~at_risk, float("-inf")), dim=1)
    return torch.where(died, total - risk, 0.0).sum() / died.sum().clamp(min=1)


def survival_loss(
    scores: torch.Tensor, config: SurvivalConfig, days: torch.Tensor, bins: torch.Tensor, died: torch.Tensor
) -> torch.Tensor:
    """The loss of the configured kind for one member's patients. Source: spec §4; DeepHit mixes with alpha 0.2."""
    if config.kind == "cox":
        return cox_likelihood(scores[:, 0], days, died)
    logits = bin_logits(scores, config.kind)
    loss = binned_likelihood(logits, bins, died)
    if config.kind == "deephit":
        loss = 0.2 * loss + 0.8 * deephit_ranking(logits, bins, died)
    return loss


def members_loss(
    scores: torch.Tensor, config: SurvivalConfig, days: torch.Tensor, bins: torch.Tensor, died: torch.Tensor
) -> torch.Tensor:
    """Sum over members of `survival_loss`: (m b outputs), (m b), (m b), (m b)."""
    members = scores.shape[0]
    if config.kind == "mtlr":  # every patient counts alike, so all members at once
        flat = scores.flatten(0, 1)
        return members * survival_loss(flat, config, days.flatten(), bins.flatten(), died.flatten())
    parts = [survival_loss(scores[m], config, days[m], bins[m], died[m]) for m in range(members)]
    return torch.stack(parts).sum()


def quantile_edges(days: Sequence[float], died: Sequence[bool], bins: int) -> list[float]:
    """Inner edges of `bins` bins: quantiles of the times of death, strictly growing."""
    times = torch.tensor([d for d, dead in zip(days, died, strict=True) if dead], dtype=torch.float64)
    shares = torch.linspace(0, 1, bins + 1, dtype=torch.float64)[1:-1]
    edges = torch.quantile(times, shares).tolist()
    for n in range(1, len(edges)):
        edges[n] = max(edges[n], edges[n - 1] + 0.5)  # equal times of death: half a day apart
    return [float(edge) for edge in edges]


def bins_of(days: torch.Tensor, edges: Sequence[float]) -> torch.Tensor:
    """The bin of each time: 0 up to the first edge, edge itself included."""
    return torch.bucketize(days, torch.tensor(edges, dtype=days.dtype))
