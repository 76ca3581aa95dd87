"""Spec §13.8: MTLR against brute force, the other losses against slow versions, numpy against torch."""

import itertools
import math

import numpy as np
import pytest
import torch

from ostensor.models.prognosis import curves as prognosis
from ostensor.models.prognosis.heads import (
    Kind,
    SurvivalConfig,
    SurvivalHeads,
    bin_logits,
    binned_likelihood,
    bins_of,
    cox_likelihood,
    deephit_ranking,
    quantile_edges,
)


def scores(rows: int, columns: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def brute_force_mtlr(psi: list[float]) -> list[float]:
    """Probability of each monotone sequence 0..01..1 (Yu et al. 2011, eq. 3): death in bin k scores the sum of psi from k on."""
    weights = [math.exp(sum(psi[j] for j in range(k, len(psi)))) for k in range(len(psi) + 1)]
    return [w / sum(weights) for w in weights]


def test_mtlr_equals_the_enumeration_of_all_death_bins() -> None:
    psi = scores(5, 6)
    found = torch.softmax(bin_logits(psi, "mtlr"), dim=1)
    assert found.shape == (5, 7)
    for row, values in zip(found, psi.tolist(), strict=True):
        assert row.tolist() == pytest.approx(brute_force_mtlr(values))
        assert float(row.sum()) == pytest.approx(1)


def test_survival_at_an_edge_is_the_share_of_later_death_bins() -> None:
    """Spec §13.8, by enumeration; at most 1, and it never rises."""
    psi = scores(5, 6).tolist()
    later = [[sum(row[k + 1 :]) for k in range(6)] for row in map(brute_force_mtlr, psi)]
    found = prognosis.survival_at_edges(np.array(psi), "mtlr")
    assert found == pytest.approx(np.array(later))
    for kind in ("mtlr", "deephit"):
        curve = prognosis.survival_at_edges(np.array(psi), kind)
        assert (curve <= 1).all()
        assert (np.diff(curve) <= 1e-12).all()


def test_event_and_censored_likelihood_equal_brute_force() -> None:
    psi, bins, died = scores(4, 4), torch.tensor([0, 3, 2, 4]), torch.tensor([True, False, True, False])
    expected = []
    for row, at, dead in zip(psi.tolist(), bins.tolist(), died.tolist(), strict=True):
        p = brute_force_mtlr(row)
        expected.append(-math.log(p[at] if dead else sum(p[at:])))
    found = binned_likelihood(bin_logits(psi, "mtlr"), bins, died)
    assert found.item() == pytest.approx(sum(expected) / 4)


def test_the_gradient_of_the_mtlr_likelihood_equals_finite_differences() -> None:
    bins, died = torch.tensor([1, 0, 3]), torch.tensor([True, False, False])
    psi = scores(3, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: binned_likelihood(bin_logits(x, "mtlr"), bins, died), psi)


def test_cox_likelihood_equals_the_double_loop() -> None:
    risk, days, died = scores(6, 1)[:, 0], torch.tensor([5.0, 3, 8, 3, 9, 1]), torch.tensor([1, 1, 0, 0, 1, 1]).bool()
    total = 0.0
    for i in range(6):
        if died[i]:
            total -= float(risk[i]) - math.log(sum(math.exp(float(risk[j])) for j in range(6) if days[j] >= days[i]))
    assert cox_likelihood(risk, days, died).item() == pytest.approx(total / 4)


def test_deephit_ranking_equals_the_double_loop() -> None:
    logits, bins, died = scores(5, 4), torch.tensor([0, 2, 1, 3, 2]), torch.tensor([1, 1, 1, 0, 0]).bool()
    incidence = torch.softmax(logits, 1).cumsum(1)
    parts = [
        math.exp(float(incidence[j, bins[i]] - incidence[i, bins[i]]) / 0.1)
        for i, j in itertools.product(range(5), range(5))
        if died[i] and bins[i] < bins[j]
    ]
    assert deephit_ranking(logits, bins, died).item() == pytest.approx(sum(parts) / len(parts))


def test_bins_are_quantiles_of_the_times_of_death_only() -> None:
    """Numpy's quantiles; an edge itself belongs to the bin before it."""
    days, died = [10.0, 20, 30, 40, 50, 999, 999], [True] * 5 + [False] * 2
    edges = quantile_edges(days, died, 4)
    assert edges == pytest.approx(np.quantile(days[:5], (0.25, 0.5, 0.75)).tolist())
    assert bins_of(torch.tensor([1.0, 20, 21, 1000]), edges).tolist() == [0, 0, 1, 3]
    assert (np.diff(quantile_edges([5.0] * 6, [True] * 6, 4)) > 0).all()


@pytest.mark.parametrize("kind", ["mtlr", "deephit", "cox"])
@pytest.mark.parametrize("widths", [(3, 5, 0), (3, 0, 0), (0, 5, 0), (0, 0, 4), (3, 5, 4)])
def test_numpy_heads_equal_torch_heads_in_every_mode(kind: Kind, widths: tuple[int, int, int]) -> None:
    """Image-only, EHR-only, text-only and fused; weights random, running statistics moved."""
    torch.manual_seed(2)
    config = SurvivalConfig(*widths, kind=kind, bins=5, ehr_hidden=7, hidden=11)
    heads = SurvivalHeads(config, 2)
    inputs = [torch.randn(2, 13, width) for width in widths]
    heads.train()(*inputs)
    with torch.no_grad():
        for value in heads.parameters():
            value.add_(0.3 * torch.randn_like(value))
        expected = heads.eval()(*inputs).numpy()
    for member in range(2):
        weights = {name: value[member].numpy().astype(np.float64) for name, value in heads.state_dict().items()}
        rows = [part[member].numpy().astype(np.float64) for part in inputs]
        found = prognosis.head_scores(weights, vars(config), *rows)
        assert found.shape == (13, config.outputs)
        np.testing.assert_allclose(found, expected[member], atol=1e-5, rtol=1e-4)


def test_members_do_not_see_each_other() -> None:
    """The first member's gradient with and without a second member beside it."""
    from ostensor.models.prognosis.heads import members_loss

    torch.manual_seed(4)
    config = SurvivalConfig(0, 3, bins=4, hidden=5, ehr_hidden=5, dropout=0.0)
    heads, ehr = SurvivalHeads(config, 2), torch.randn(2, 9, 3)
    days, died = torch.rand(2, 9) * 100, torch.rand(2, 9) > 0.4
    bins = bins_of(days, [20, 50, 70])
    grads = []
    for other in (ehr[1], ehr[1] * 7):
        heads.zero_grad()
        image, text = torch.zeros(2, 9, 0), torch.zeros(2, 9, 0)
        members_loss(heads(image, torch.stack([ehr[0], other]), text), config, days, bins, died).backward()
        assert heads.fused.weight.grad is not None
        grads.append(heads.fused.weight.grad[0].clone())
    torch.testing.assert_close(*grads)
