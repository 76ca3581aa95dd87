"""ParaTransCNN: both branches reach the answer, and the published layout is read."""

import re

import pytest
import torch

from ostensor.imaging.errors import BadCall
from ostensor.models.backbones.attention import paratranscnn
from ostensor.models.backbones.table import backbone

SMALL = {"stem": 4, "widths": [4, 6, 10, 22], "depths": [2, 1, 2, 1], "dim": 4, "heads": 2, "layers": [2, 1, 1]}


def built(**options: object) -> paratranscnn.ParaTransCnn:
    torch.manual_seed(3)
    net = backbone("paratranscnn").build(2, 2, 3, {**SMALL, **options}).eval()
    assert isinstance(net, paratranscnn.ParaTransCnn)
    return net


def named_officially(net: paratranscnn.ParaTransCnn) -> dict[str, torch.Tensor]:
    """The authors' keys, as the notes of the fixture spell them."""
    place = {"0": "conv1", "1": "norm1", "3": "conv3", "4": "norm3"}

    def layer(m: re.Match[str]) -> str:
        first = f"vit_{int(m[1]) + 1}.net."
        part = {
            "norm1": "0.fn.norm",
            "qkv": "0.fn.fn.qkv",
            "proj": "0.fn.fn.proj",
            "norm2": "1.fn.norm",
            "mlp.0": "1.fn.fn.net.0",
            "mlp.3": "1.fn.fn.net.3",
        }[m[3]]
        return f"{first}{2 * int(m[2]) + int(part[0])}{part[1:]}."

    rules = (
        (r"stem\.0\.", "firstconv."),
        (r"stem\.1\.", "firstbn."),
        (r"stages\.(\d)\.", lambda m: f"encoder{int(m[1]) + 1}."),
        (r"patches\.(\d)\.", lambda m: f"patch_embed_{int(m[1]) + 1}."),
        (r"transformers\.(\d)\.(\d)\.(norm\d|qkv|proj|mlp\.\d)\.", layer),
        (r"gates\.(\d)\.", lambda m: f"SE_{3 - int(m[1])}."),
        (r"merge\.(\d)\.(\d)\.", lambda m: f"decoder{3 - int(m[1])}.{place[m[2]]}."),
        (r"grow\.(\d)\.", lambda m: f"up{int(m[1]) + 2}_1."),
        (r"head\.0\.", "up1_1."),
        (r"head\.1\.", "out."),
    )
    found = {}
    for key, value in net.state_dict().items():
        pattern, theirs = next(rule for rule in rules if re.match(rule[0], key))
        found[re.sub(f"^{pattern}", theirs, key)] = value
    return found


def test_published_files_are_read() -> None:
    net = built()
    theirs = named_officially(net)
    assert {"vit_1.net.3.fn.fn.net.0.weight", "SE_3.fc.2.weight", "up3_1.bias", "decoder1.norm3.running_var"} <= set(
        theirs
    )
    ours = paratranscnn.convert(theirs)
    options = paratranscnn.sizes_of(ours)
    assert {key: options[key] for key in ("channels", "classes")} == {"channels": 2, "classes": 3}
    assert {key: value for key, value in SMALL.items() if key != "heads"}.items() <= options.items()
    again = paratranscnn.build(**options, heads=2)
    again.load_state_dict(ours, strict=False)
    image = torch.randn(1, 2, 32, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(again.eval()(image).logits, net(image).logits)


@pytest.mark.parametrize(("branch", "reaches"), [("transformers", True), ("stages", False)])
def test_only_the_transformer_sees_the_whole_image_at_once(branch: str, reaches: bool) -> None:
    """A change in one corner moves the finest transformer's tokens in the other corner, and not the convolutions' map."""
    net = built()
    seen: list[torch.Tensor] = []
    part = getattr(net, branch)[0]
    part.register_forward_hook(lambda _, given, said: seen.append(said))
    image = torch.randn(1, 2, 64, 96, generator=torch.Generator().manual_seed(1))
    changed = image.clone()
    changed[..., :4, :4] += 3
    with torch.no_grad():
        net(image)
        net(changed)
    last = [one[:, -1] if branch == "transformers" else one[..., -1, -1] for one in seen]
    assert torch.equal(*last) is not reaches


def test_attention_is_that_of_torch() -> None:
    """One layer against `nn.MultiheadAttention` with the same weights."""
    torch.manual_seed(2)
    layer = paratranscnn.Layer(8, 2, 0.1).eval()
    oracle = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(2, 5, 8)
    with torch.no_grad():
        oracle.in_proj_weight.copy_(layer.qkv.weight)
        oracle.in_proj_bias.zero_()
        oracle.out_proj.load_state_dict(layer.proj.state_dict())
        normed = layer.norm1(x)
        y = x + oracle(normed, normed, normed)[0]
        assert torch.allclose(layer(x), y + layer.mlp(layer.norm2(y)), atol=1e-6)


def test_dropout_is_of_training_only() -> None:
    torch.manual_seed(2)
    layer, x = paratranscnn.Layer(8, 2, 0.5), torch.randn(1, 6, 8)
    assert torch.equal(layer.eval()(x), layer(x))
    assert not torch.equal(layer.train()(x), layer(x))


def test_what_makes_no_network_is_refused() -> None:
    with pytest.raises(BadCall, match="3 heads do not share 4 channels"):
        built(heads=3)
    with pytest.raises(BadCall, match="4 stages and there are 3 transformers"):
        built(layers=[1, 1])
    with pytest.raises(BadCall, match=r"'encoder5', which is unknown"):
        paratranscnn.convert({"encoder5": torch.zeros(1)})
    with pytest.raises(BadCall, match="0 stages and 0 transformers"):
        paratranscnn.sizes_of({})
