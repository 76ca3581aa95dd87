"""A card that is none: tensors "on cuda" are marked CPU tensors, and mixing them with others fails as it does on a real one.

It sees calls of torch from Python, which is where code of ours can leave a tensor behind.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

CARD = torch.device("cuda:0")
MARK = "_is_on_card"
HOST_ONLY = {"numpy", "__array__", "tolist"}
ANYWHERE = {"copy_", "set_", "_has_compatible_shallow_copy_type", "is_same_size", "swap_tensors"}


def is_on_card(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and getattr(value, MARK, False)


def mark(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        setattr(value, MARK, True)
    return value


def names_card(value: Any) -> bool:
    return (isinstance(value, torch.device) and value.type == "cuda") or (
        isinstance(value, str) and value.startswith("cuda")
    )


def names_host(value: Any) -> bool:
    return (isinstance(value, torch.device) and value.type == "cpu") or value == "cpu"


class Card(TorchFunctionMode):
    """While it is on, "cuda" is a device that is there."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        owner = getattr(getattr(func, "__self__", None), "__name__", "")
        flat, _ = tree_flatten((args, kwargs))
        tensors = [one for one in flat if isinstance(one, torch.Tensor)]
        first = args[0] if args else None
        if name == "__get__" and owner in ("device", "is_cuda", "is_cpu"):
            on = is_on_card(first)
            return {"device": CARD if on else func(*args, **kwargs), "is_cuda": on, "is_cpu": not on}[owner]
        if name == "__get__":
            return carried(func(*args, **kwargs), first)
        if name == "__set__":
            done = func(*args, **kwargs)
            if is_on_card(args[1]):
                mark(first)
            return done
        if name in ("to", "cpu", "cuda", "type_as"):
            return self._moved(func, name, args, kwargs)
        if name in HOST_ONLY and is_on_card(first):
            raise TypeError(
                "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
            )
        wants_card = names_card(kwargs.get("device"))
        if wants_card:
            kwargs["device"] = "cpu"
        big = [one for one in tensors if one.dim() > 0]
        if name not in ANYWHERE and len({is_on_card(one) for one in big}) > 1 and not is_index(name, args, big):
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! ({name})"
            )
        found = func(*args, **kwargs)
        on = wants_card or (any(is_on_card(one) for one in tensors) and not names_host(kwargs.get("device")))
        return (
            tree_map(lambda value: mark(value) if on else value, found)
            if not isinstance(found, torch.device)
            else found
        )

    def _moved(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tensor, rest = args[0], list(args[1:])
        given = [*rest, *kwargs.values()]
        other = next((one for one in given if isinstance(one, torch.Tensor)), None)
        to_card = name == "cuda" or any(names_card(one) for one in given) or is_on_card(other)
        to_host = (
            name == "cpu" or any(names_host(one) for one in given) or (other is not None and not is_on_card(other))
        )
        plain = [torch.device("cpu") if names_card(one) else one for one in rest]
        named = {
            key: torch.device("cpu") if names_card(one) else one for key, one in kwargs.items() if key != "non_blocking"
        }
        moved = tensor.clone() if name in ("cuda", "cpu") else func(tensor, *plain, **named)
        if (to_card or to_host) and moved is tensor:
            moved = tensor.detach().clone() if not tensor.requires_grad else tensor.clone()
        on = to_card or (is_on_card(tensor) and not to_host)
        setattr(moved, MARK, on) if moved is not tensor or on else None
        return moved


def carried(value: Any, source: Any) -> Any:
    """A view (`.T`, `.data`, `.grad`) is where its tensor is."""
    return mark(value) if isinstance(value, torch.Tensor) and is_on_card(source) else value


def is_index(name: str, args: tuple[Any, ...], tensors: list[torch.Tensor]) -> bool:
    """A tensor on a card may be indexed by one on the host, as on a real one."""
    return (
        name in ("__getitem__", "__setitem__")
        and is_on_card(args[0])
        and all(is_on_card(one) for one in tensors if one.is_floating_point())
    )


@contextmanager
def card(monkeypatch: pytest.MonkeyPatch, *, bf16: bool = True) -> Iterator[Callable[[], None]]:
    """A machine with a card."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: bf16)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: None)
    with Card():
        yield lambda: None
