"""The scan against its equation written out, finite differences, and the limits of its gates."""

import pytest
import torch
import torch.nn.functional as F

from ostensor.models.blocks.scans import selective
from ostensor.models.blocks.scans.selective import scan_by_steps, selective_scan


def given(
    length: int, dtype: torch.dtype = torch.float32, channels: int = 6, state: int = 5, groups: int = 2
) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(length)
    u, delta = (torch.randn(2, channels, length, generator=g, dtype=dtype) for _ in range(2))
    b, c = (torch.randn(2, groups, state, length, generator=g, dtype=dtype) for _ in range(2))
    decay = -torch.rand(channels, state, generator=g, dtype=dtype) * state
    skip = torch.randn(channels, generator=g, dtype=dtype)
    return [x.requires_grad_() for x in (u, F.softplus(delta - 1), decay, b, c, skip)]


@pytest.mark.parametrize("length", [1, 7, 64, 300, 4096])
def test_scan_and_its_gradients_are_those_of_the_equation(length: int) -> None:
    """Expected: one token after the other, in double precision, with gradients by autograd."""
    ours, slow = given(length), [x.detach().double().requires_grad_() for x in given(length)]
    wanted = torch.randn(2, 6, length, generator=torch.Generator().manual_seed(9))
    said, expected = selective_scan(*ours), scan_by_steps(*slow)
    assert torch.allclose(said.double(), expected, atol=1e-5, rtol=1e-5)
    if length > 300:
        return
    (said * wanted).sum().backward()
    (expected * wanted).sum().backward()
    for one, other in zip(ours, slow, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.allclose(one.grad.double(), other.grad, atol=1e-4, rtol=1e-4)


def test_gradients_of_many_tokens_are_those_of_the_equation_in_double_precision() -> None:
    """Expected: the derivative along one direction, by central differences of the equation."""
    values = [x.detach() for x in given(4096, torch.float64)]
    g = torch.Generator().manual_seed(3)
    ways = [torch.randn(x.shape, generator=g, dtype=x.dtype) * (0.1 if n != 1 else 0.0) for n, x in enumerate(values)]
    wanted = torch.randn(2, 6, 4096, generator=g, dtype=torch.float64)
    leaves = [x.clone().requires_grad_() for x in values]
    (selective_scan(*leaves) * wanted).sum().backward()
    along = sum(float((x.grad * way).sum()) for x, way in zip(leaves, ways, strict=True) if x.grad is not None)
    step = 1e-5
    ahead, behind = (
        float((scan_by_steps(*(x + sign * step * way for x, way in zip(values, ways, strict=True))) * wanted).sum())
        for sign in (1, -1)
    )
    assert along == pytest.approx((ahead - behind) / (2 * step), rel=1e-5)


@pytest.mark.parametrize("length", [1, 5, 11])
def test_gradients_agree_with_finite_differences(length: int) -> None:
    values = [x.detach().requires_grad_() for x in given(length, torch.float64, channels=4, state=3)]
    assert torch.autograd.gradcheck(selective_scan, values)


def test_gates_at_their_limits_stay_finite() -> None:
    """Steps of 20 with decays of 16 forget all but the last token; steps of 0 keep what there is, nothing."""
    u, _, decay, b, c, skip = given(300)
    for step in (20.0, 0.0):
        delta = torch.full_like(u, step).requires_grad_()
        said = selective_scan(u, delta, decay * 16, b, c, skip)
        said.sum().backward()
        assert torch.isfinite(said).all()
        assert all(torch.isfinite(x.grad).all() for x in (u, delta, decay, b, c, skip) if x.grad is not None)
    assert torch.allclose(selective_scan(u, torch.zeros_like(u), decay, b, c, skip), skip[:, None] * u)
    strong = torch.full_like(decay, -1e3)
    forgot = selective_scan(u, torch.full_like(u, 20.0), strong, b, c, skip)
    alone = 20 * u * (b * c).sum(2).repeat_interleave(3, dim=1) + skip[:, None] * u
    assert torch.allclose(forgot, alone, atol=1e-3, rtol=1e-5)


def test_without_gradients_the_same_is_said() -> None:
    values = given(64)
    with torch.no_grad():
        plain = selective_scan(*values)
    assert not plain.requires_grad
    assert torch.equal(plain, selective_scan(*values).detach())


def test_scan_is_in_single_precision_under_autocast() -> None:
    values = [x.detach() for x in given(64)]
    with torch.autocast("cpu", torch.bfloat16):
        said = selective_scan(*values)
    assert said.dtype == torch.float32
    assert torch.equal(said, selective_scan(*values))


def test_a_kernel_is_looked_for_once_and_only_used_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU an installed mamba-ssm changes nothing; its kernel would be wrong here on purpose."""
    monkeypatch.setattr(selective, "_kernel", lambda: lambda *given: torch.zeros(()))
    assert selective_scan(*given(7)).shape == (2, 6, 7)


@pytest.mark.parametrize("length", [1, 7, 64])
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_the_scan_is_traced_for_converters(length: int) -> None:
    """The trace is of one input and runs on another, so it holds no state; expected: the equation, step by step."""
    example, other = [[x.detach() for x in given(length)] for _ in range(2)]
    other = [x * 0.7 for x in other]
    traced = torch.jit.trace(selective_scan, tuple(example), check_trace=False)
    assert torch.allclose(traced(*other), scan_by_steps(*other), atol=1e-5, rtol=1e-5)
    assert "out=" not in str(traced.graph)
    assert not any(node.kind().endswith("_") for node in traced.graph.nodes()), (
        "converters do not follow in-place steps"
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_kernel_of_mamba_ssm_says_the_same() -> None:
    pytest.importorskip("mamba_ssm", reason="mamba-ssm is not installed")
    values = [x.detach() for x in given(300)]
    theirs = selective_scan(*(x.cuda() for x in values)).cpu()
    assert torch.allclose(theirs, selective_scan(*values), atol=1e-4, rtol=1e-4)
