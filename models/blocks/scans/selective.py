"""The selective scan of Mamba (S6), forwards and backwards, in plain torch.

    h_t = exp(delta_t A) h_(t-1) + delta_t B_t u_t,    y_t = C_t . h_t + skip u_t

Source: Gu and Dao 2023, arXiv 2312.00752, equations 2 and 4. The tokens are cut into about sqrt(length) chunks whose steps run side by
side: once from zero for the chunks' last states, then from the true first states. Every factor is a decay of at most 1, so
nothing overflows; a product of decays that underflows to 0 is the right limit. Steps that fill the last chunk have delta 0, which
changes no state. Only inputs and the chunks' first states are kept for the way back, which computes the states anew.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from ..precision import without_autocast

Kernel = Callable[..., torch.Tensor]


def selective_scan(
    u: torch.Tensor, delta: torch.Tensor, decay: torch.Tensor, b: torch.Tensor, c: torch.Tensor, skip: torch.Tensor
) -> torch.Tensor:
    """What a state-space layer says of each token, in float32 at least, whatever autocast says.

    Args:
        u: tokens (b d l).
        delta: steps of time (b d l), 0 or more.
        decay: A (d n), below 0.
        b, c: into and out of the state (b g n l); each of the g groups serves d / g channels that follow each other.
        skip: D (d).

    Returns:
        y (b d l).

    mamba-ssm's kernel computes it where that is installed and the tensors are on CUDA.
    """
    kind = torch.promote_types(u.dtype, torch.float32)
    with without_autocast(u):
        u, delta, decay, b, c, skip = (x.to(kind) for x in (u, delta, decay, b, c, skip))
        if u.is_cuda and kind == torch.float32 and (kernel := _kernel()) is not None:
            return kernel(u, delta, decay, b, c, skip)
        given = (u, delta, decay, b, c)
        if torch.is_grad_enabled() and any(x.requires_grad for x in given):
            said: torch.Tensor = _Scan.apply(*given)  # type: ignore[no-untyped-call]  # torch's
        else:
            said, _ = _scan(*given)
        return said + skip[:, None] * u


def scan_by_steps(
    u: torch.Tensor, delta: torch.Tensor, decay: torch.Tensor, b: torch.Tensor, c: torch.Tensor, skip: torch.Tensor
) -> torch.Tensor:
    """`selective_scan` as its equation is written, one token after the other: slow, for comparison."""
    batch, channels, length = u.shape
    b, c = (x.repeat_interleave(channels // x.shape[1], dim=1) for x in (b, c))  # (b d n l)
    state = u.new_zeros(batch, channels, decay.shape[1])
    said = []
    for t in range(length):
        step = delta[:, :, t, None]
        state = torch.exp(step * decay) * state + step * b[..., t] * u[:, :, t, None]
        said.append((state * c[..., t]).sum(-1) + skip * u[:, :, t])
    return torch.stack(said, dim=-1)


@cache
def _kernel() -> Kernel | None:
    if importlib.util.find_spec("mamba_ssm") is None:
        return None
    found: Kernel = importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn
    return found


class _Scan(torch.autograd.Function):
    """`_scan` with its own way back."""

    @staticmethod
    def forward(ctx: Any, *given: torch.Tensor) -> torch.Tensor:
        said, kept = _scan(*given)
        ctx.save_for_backward(*kept)
        ctx.length = said.shape[-1]
        return said

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, ...]:
        u, delta, decay, b, c, first, whole = ctx.saved_tensors
        steps, groups = u.shape[0], u.shape[3]
        wanted = _chunks(grads[0].unflatten(1, (groups, -1)), steps)
        moved = delta * u

        kept = first.new_empty(steps, *first.shape)
        states = first.new_empty(steps + 1, *first.shape)
        states[0] = first
        for t in range(steps):
            torch.mul(delta[t].unsqueeze(-1), decay, out=kept[t]).exp_()
            torch.mul(states[t], kept[t], out=states[t + 1])
            states[t + 1].addcmul_(moved[t].unsqueeze(-1), b[t].unsqueeze(-2))

        early = torch.zeros_like(first)  # gradient of a chunk's first state, of the chunk alone
        for t in reversed(range(steps)):
            early.addcmul_(wanted[t].unsqueeze(-1), c[t].unsqueeze(-2)).mul_(kept[t])
        flow = _carry(early.flip(0), whole.flip(0)).flip(0)  # gradient of a chunk's last state, from later chunks

        of_b, of_c, through, of_delta = (torch.empty_like(x) for x in (b, c, u, u))
        of_decay, change = torch.zeros_like(first), torch.empty_like(first)
        for t in reversed(range(steps)):
            flow.addcmul_(wanted[t].unsqueeze(-1), c[t].unsqueeze(-2))
            torch.matmul(wanted[t].unsqueeze(-2), states[t + 1], out=of_c[t].unsqueeze(-2))
            torch.matmul(moved[t].unsqueeze(-2), flow, out=of_b[t].unsqueeze(-2))
            torch.matmul(flow, b[t].unsqueeze(-1), out=through[t].unsqueeze(-1))
            torch.mul(flow.mul_(kept[t]), states[t], out=change)
            of_decay.addcmul_(change, delta[t].unsqueeze(-1))
            torch.sum(change.mul_(decay), -1, out=of_delta[t])
        of_delta += u * through
        of_u = through.mul_(delta)
        return (
            _joined(of_u, ctx.length).flatten(1, 2),
            _joined(of_delta, ctx.length).flatten(1, 2),
            of_decay.sum((0, 1)).flatten(0, 1),
            _joined(of_b, ctx.length),
            _joined(of_c, ctx.length),
        )


def _scan(
    u: torch.Tensor, delta: torch.Tensor, decay: torch.Tensor, b: torch.Tensor, c: torch.Tensor
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """y without the skip, and what the way back needs.

    Inside, t stands for a step within its chunk and k for a chunk: (t k b g e), states (k b g e n). Nothing is written in place, so that
    engines, which trace it, convert it exactly.
    """
    length, groups = u.shape[-1], b.shape[1]
    steps = math.isqrt(length - 1) + 1
    u, delta = (_chunks(x.unflatten(1, (groups, -1)), steps) for x in (u, delta))
    b, c = _chunks(b, steps), _chunks(c, steps)
    decay = decay.unflatten(0, (groups, -1))
    moved = delta * u
    whole = torch.exp(delta.sum(0).unsqueeze(-1) * decay)  # decay over a chunk

    last = torch.zeros_like(whole)
    for t in range(steps):
        last = _step(last, delta[t], decay, moved[t], b[t])
    first = state = _carry(last, whole)
    said = []
    for t in range(steps):
        state = _step(state, delta[t], decay, moved[t], b[t])
        said.append(torch.matmul(state, c[t].unsqueeze(-1)).squeeze(-1))
    return torch.flatten(_joined(torch.stack(said), length), 1, 2), (u, delta, decay, b, c, first, whole)


def _step(
    state: torch.Tensor, delta: torch.Tensor, decay: torch.Tensor, moved: torch.Tensor, b: torch.Tensor
) -> torch.Tensor:
    return torch.addcmul(moved.unsqueeze(-1) * b.unsqueeze(-2), state, torch.exp(delta.unsqueeze(-1) * decay))


def _chunks(x: torch.Tensor, steps: int) -> torch.Tensor:
    """(b g r l) as (t k b g r), with zeros up to the end of the last chunk."""
    chunks = (x.shape[-1] + steps - 1) // steps
    padded = F.pad(x, (0, chunks * steps - x.shape[-1]))
    return torch.unflatten(padded, -1, (chunks, steps)).permute(4, 3, 0, 1, 2).contiguous()


def _joined(x: torch.Tensor, length: int) -> torch.Tensor:
    """(t k b g r) as (b g r l), without what `_chunks` added."""
    joined: torch.Tensor = x.permute(2, 3, 4, 1, 0).flatten(-2)[..., :length]
    return joined


def _carry(last: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """States before each chunk, from the chunks' own last states and decays (k ...)."""
    first = [torch.zeros_like(last[0])]
    for k in range(last.shape[0] - 1):
        first.append(torch.addcmul(last[k], whole[k], first[k]))
    return torch.stack(first)
