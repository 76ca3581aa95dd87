"""Adapters: they change nothing at first, have the rank they say, merge exactly, and learn alone."""

import itertools
import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.table import backbone
from ostensor.models.language.satmini.fixed_classes import ClassesConfig
from ostensor.training.folders import Folders
from ostensor.training.kinds import How
from ostensor.training.objective import MODEL, Batch
from ostensor.training.regimes.by_words import Supervised
from ostensor.training.regimes.tuning.adapted import Adapted
from ostensor.training.regimes.tuning.adapters import Adapters, LowRank, list_adapters, list_layers, merge_, wrap_
from ostensor.training.regimes.tuning.rows import ADAPTERS
from ostensor.training.runs import read_run
from ostensor.training.segmenting.config import network_of
from ostensor.training.segmenting.evaluate import trained_model
from ostensor.training.segmenting.fit import begin_, fit
from ostensor.training.trainer import Schedule, Trainer

KINDS = [(row.name, dora) for row in ADAPTERS for dora in (False, True)]
LAYERS = {
    "image": (nn.Conv2d(3, 5, (3, 1), padding=(1, 0)), (2, 3, 7, 6)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), (2, 4, 7, 6)),
    "volume": (nn.Conv3d(3, 5, (3, 1, 2)), (2, 3, 7, 6, 5)),
    "up": (nn.ConvTranspose2d(3, 5, 2, stride=2), (2, 3, 4, 6)),
    "up in space": (nn.ConvTranspose3d(3, 5, (2, 2, 1), stride=(2, 2, 1)), (2, 3, 4, 6, 5)),
    "linear": (nn.Linear(4, 6), (3, 4)),
}


def shaken(net: nn.Module) -> None:
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for value in list_adapters(net).values():
            value.add_(0.3 * torch.randn(value.shape, generator=generator))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("kind", "dora"), KINDS)
def test_a_layer_is_itself_at_first_and_merging_changes_no_answer(layer: str, kind: str, dora: bool) -> None:
    torch.manual_seed(1)
    net = nn.Sequential(LAYERS[layer][0].__class__(*_arguments(layer)))
    x = torch.randn(LAYERS[layer][1])
    with torch.no_grad():
        plain = net(x)
        before = net[0].weight.clone()
        assert wrap_(net, Adapters(kind, 2, alpha=3.0, dora=dora)) == ["0"]
        assert torch.allclose(net(x), plain, atol=1e-6)
        shaken(net)
        changed = net(x)
        assert not torch.allclose(changed, plain, atol=1e-2)
        merge_(net)
        assert torch.allclose(net(x), changed, atol=1e-5)
        assert list_adapters(net) == {}
        assert set(net.state_dict()) == {"0.weight", "0.bias"}
        assert net[0].weight.shape == before.shape


def _arguments(layer: str) -> tuple[object, ...]:
    given = LAYERS[layer][0]
    if isinstance(given, nn.Linear):
        return given.in_features, given.out_features
    assert isinstance(given, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d)
    if isinstance(given, nn.ConvTranspose2d | nn.ConvTranspose3d):
        return given.in_channels, given.out_channels, given.kernel_size, given.stride
    return given.in_channels, given.out_channels, given.kernel_size, given.stride, given.padding, 1, given.groups


def test_changes_are_those_of_the_definitions() -> None:
    """Element by element from the factors, for a kernel of (5 out, 3 in, 2, 4) and rank 2."""
    torch.manual_seed(2)
    weight = torch.randn(5, 3, 2, 4)
    found = {}
    for kind in ("lora-c", "conv-lora", "cp-lora"):
        one = LowRank(weight, 0, Adapters(kind, 2, alpha=6.0))
        with torch.no_grad():
            for factor in one.factors:
                nn.init.normal_(factor)
        found[kind] = (one.change().detach(), [factor.detach() for factor in one.factors])
    for o, i, k, m in itertools.product(range(5), range(3), range(2), range(4)):
        change, (b, a) = found["lora-c"]
        assert float(change[o, i, k, m]) == pytest.approx(
            3 * sum(float(b[r, 2 * o + k] * a[r, 4 * i + m]) for r in range(2)), rel=1e-4, abs=1e-5
        )
        change, (b, a) = found["conv-lora"]
        assert float(change[o, i, k, m]) == pytest.approx(
            3 * sum(float(b[r, o] * a[r, 8 * i + 4 * k + m]) for r in range(2)), rel=1e-4, abs=1e-5
        )
        change, factors = found["cp-lora"]
        product = [math.prod(float(f[r, n]) for f, n in zip(factors, (o, i, k, m), strict=True)) for r in range(2)]
        assert float(change[o, i, k, m]) == pytest.approx(3 * sum(product), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "numbers"), [("lora-c", 5 * 3 + 4 * 9), ("conv-lora", 5 + 4 * 27), ("cp-lora", 5 + 4 + 3 + 3 + 3)]
)
def test_there_are_as_many_numbers_as_the_definition_says(kind: str, numbers: int) -> None:
    """Of 4 to 5 channels by a kernel of 3: r times what is written; DoRA has one more for each output channel."""
    for dora in (False, True):
        net = nn.Sequential(nn.Conv3d(4, 5, 3))
        wrap_(net, Adapters(kind, 6, dora=dora))
        assert sum(value.numel() for value in list_adapters(net).values()) == 6 * numbers + 5 * dora


@pytest.mark.parametrize("out", [0, 1])
def test_dora_turns_each_output_channel_and_gives_it_its_own_length(out: int) -> None:
    torch.manual_seed(3)
    weight = torch.randn(5, 3, 3, 3)
    one = LowRank(weight, out, Adapters("conv-lora", 2, dora=True))
    assert one.length is not None
    with torch.no_grad():
        one.factors[0].normal_()
        one.length.mul_(torch.rand(one.length.shape) + 0.5)
    changed = one(weight).detach().movedim(out, 0).flatten(1)
    turned = (weight + one.change()).detach().movedim(out, 0).flatten(1)
    assert torch.allclose(changed.norm(dim=1), one.length.detach().flatten(), rtol=1e-5)
    assert torch.allclose(torch.cosine_similarity(changed, turned, dim=1), torch.ones(len(turned)), atol=1e-5)


@pytest.mark.parametrize(("kind", "dora"), KINDS)
def test_the_factor_that_is_zero_learns_first_and_then_all_do(kind: str, dora: bool) -> None:
    torch.manual_seed(4)
    net = nn.Sequential(nn.Conv2d(3, 5, 3))
    wrap_(net, Adapters(kind, 2, dora=dora))
    x = torch.randn(2, 3, 6, 5)
    for turn in (0, 1):
        net.zero_grad()
        net(x).square().sum().backward()
        with torch.no_grad():
            for name, value in list_adapters(net).items():
                assert value.grad is not None
                silent = turn == 0 and "factors" in name and not name.endswith("factors.0")
                assert bool(value.grad.abs().sum() == 0) == silent, name
                value.sub_(1e-3 * value.grad)
    assert net[0].parametrizations.weight.original.grad is None


def test_patterns_choose_layers_and_one_that_fits_none_is_refused() -> None:
    net = backbone("unet").build(2, 1, 2, {"features": [4, 6]})
    every = list_layers(net, ["*"])
    heads = list_layers(net, ["heads.*"])
    assert 0 < len(heads) < len(every)
    assert all(name.startswith("heads.") for name in heads)
    with pytest.raises(BadCall, match=r"The pattern 'tail.\*' of \[adapters\] fits no layer"):
        wrap_(net, Adapters(on=("*", "tail.*")))
    assert list_adapters(net) == {}
    wrap_(net, Adapters(on=("heads.*",)))
    with pytest.raises(BadCall, match="has adapters already"):
        wrap_(net, Adapters())
    with pytest.raises(BadCall, match="no layer that adapters could change"):
        wrap_(nn.Sequential(nn.ReLU()), Adapters())
    with pytest.raises(BadCall, match=r"Unknown kind of adapters 'cp'. Closest: 'cp-lora'"):
        Adapters("cp")
    with pytest.raises(BadCall, match="of rank 0 on 1 patterns"):
        Adapters(rank=0)


class WithJudge(Supervised):
    """An objective with a second network, which learns in a group of its own."""

    def roles(self, model: nn.Module) -> dict[str, nn.Module]:
        return {MODEL: model, "judge": nn.Conv2d(1, 1, 1)}

    def groups(self, roles: object) -> dict[str, list[nn.Parameter]]:
        assert isinstance(roles, dict)
        return {"main": list(roles[MODEL].parameters()), "judge": list(roles["judge"].parameters())}


@pytest.mark.parametrize(("kind", "dora"), [("cp-lora", False), ("conv-lora", True)])
def test_adapters_alone_learn_and_training_resumes_to_the_bit(tmp_path: Path, kind: str, dora: bool) -> None:
    def trainer(folder: str) -> Trainer:
        torch.manual_seed(0)
        net = backbone("unet").build(2, 1, 2, {"features": [4, 6]})
        objective = Adapted(WithJudge({"liver": (1,), "spleen": (2,)}), Adapters(kind, 2, dora=dora))
        return Trainer(net, objective, Schedule(steps=4, warm_up=1, save_every=2), tmp_path / folder)

    labels = torch.randint(0, 3, (2, 16, 12), generator=torch.Generator().manual_seed(4))
    batch = Batch(labels[:, None].float(), labels)
    whole = trainer("whole")
    assert whole.objective.name == f"supervised, {kind}{' as DoRA' if dora else ''}, rank 2"
    assert len(whole.groups["judge"]) == 2
    before = {name: value.clone() for name, value in whole.model.state_dict().items()}
    whole.fit(lambda step, part: batch)
    adapters = list_adapters(whole.model)
    assert adapters
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, before[name]) == (name not in adapters), name
    trainer("halves").fit(lambda step, part: batch, until=2)
    again = trainer("halves")
    assert again.resume()
    again.fit(lambda step, part: batch)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])


def test_a_run_with_adapters_is_used_as_a_plain_network(folders: Folders, tiny: ModuleType) -> None:
    """Against the run it began with: other weights where there are adapters, and of the others the same."""
    network = ClassesConfig(3, options={"features": (4, 6), "finest": 4})
    first = replace(tiny.plan(steps=2), name="first", objective="supervised", options={}, network=network)
    fit(first, folders, How())
    plan = replace(first, name="tuned", start_run="first", adapters=Adapters("cp-lora", 2, on=("*.trunk.*",)))
    fit(plan, folders, How())
    start = network_of(plan)
    begin_(start, plan, folders)
    tuned, begun = trained_model(plan, folders).state_dict(), start.state_dict()
    assert set(tuned) == set(begun)
    adapted = {f"{name}.weight" for name in list_layers(start, ["*.trunk.*"])}
    assert 0 < len(adapted) < len(tuned)
    assert {name for name in tuned if not torch.equal(tuned[name], begun[name])} == adapted
    assert begun.keys() >= {"net.heads.0.weight"}
    assert torch.equal(begun["net.heads.0.weight"], trained_model(first, folders).state_dict()["net.heads.0.weight"])


def test_configurations_say_what_is_adapted_and_one_without_a_start_is_refused(tmp_path: Path) -> None:
    plan = read_run("cp-lora-hippocampus")[1]
    assert plan.adapters == Adapters("cp-lora", 8)
    assert plan.network == read_run(plan.start_run)[1].network
    file = tmp_path / "mine.toml"
    file.write_text('extends = "unet-hippocampus"\n[adapters]\nkind = "lora-c"\n', encoding="utf-8")
    with pytest.raises(BadCall, match="Say which with start_run or start"):
        read_run(str(file))
    file.write_text('extends = "cp-lora-hippocampus"\n[adapters]\non = ["*.heads.*"]\n', encoding="utf-8")
    assert read_run(str(file))[1].adapters == Adapters("cp-lora", 8, on=("*.heads.*",))
