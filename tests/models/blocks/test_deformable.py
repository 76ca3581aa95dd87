"""Deformable attention against a slow reading of pixels, and what a fresh layer looks at."""

import math

import pytest
import torch

from ostensor.models.backbones.attention.dinounet.adapter import pixel_middles
from ostensor.models.blocks.deformable import DeformableAttention, attend_at


def between_pixels(image: torch.Tensor, column: float, row: float) -> torch.Tensor:
    """(d) of an image (rows columns d) at pixel coordinates, linearly, 0 outside: four pixels written out."""
    total = torch.zeros(image.shape[2])
    for r in (math.floor(row), math.floor(row) + 1):
        for c in (math.floor(column), math.floor(column) + 1):
            if 0 <= r < image.shape[0] and 0 <= c < image.shape[1]:
                total += (1 - abs(row - r)) * (1 - abs(column - c)) * image[r, c]
    return total


def test_reading_between_pixels_of_several_maps_is_the_slow_sum() -> None:
    g = torch.Generator().manual_seed(0)
    sides, heads, width, points = [(3, 5), (2, 4)], 2, 3, 3
    value = torch.randn(2, 23, heads, width, generator=g)
    places = torch.rand(2, 4, heads, 2, points, 2, generator=g) * 1.4 - 0.2
    weights = torch.rand(2, 4, heads, 2, points, generator=g)
    expected = torch.zeros(2, 4, heads, width)
    for b in range(2):
        for q in range(4):
            for h in range(heads):
                for level, (rows, columns) in enumerate(sides):
                    part = value[b, :15, h] if level == 0 else value[b, 15:, h]
                    image = part.reshape(rows, columns, width)
                    for p in range(points):
                        x, y = places[b, q, h, level, p].tolist()
                        read = between_pixels(image, x * columns - 0.5, y * rows - 0.5)
                        expected[b, q, h] += weights[b, q, h, level, p] * read
    assert torch.allclose(attend_at(value, sides, places, weights), expected.flatten(2), atol=1e-5)


def test_looking_at_the_middles_of_pixels_returns_the_map() -> None:
    side = (3, 5)
    value = torch.randn(1, 15, 1, 4, generator=torch.Generator().manual_seed(1))
    places = pixel_middles(side, torch.device("cpu"))[None, :, None, None, None]
    read = attend_at(value, [side], places, torch.ones(1, 15, 1, 1, 1))
    assert torch.allclose(read, value[:, :, 0], atol=1e-6)


def test_middles_of_pixels_are_along_the_second_axis_first() -> None:
    """Of 2 rows and 4 columns, by hand."""
    middles = pixel_middles((2, 4), torch.device("cpu"))
    assert middles[1].tolist() == [0.375, 0.25]
    assert middles[4].tolist() == [0.125, 0.75]


def test_heads_of_a_fresh_layer_look_away_from_each_other_one_pixel_further_with_each_point() -> None:
    layer = DeformableAttention(8, 8, heads=4, points=2)
    offsets = layer.sampling_offsets.bias.detach().reshape(4, 2, 2)
    expected = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    assert torch.allclose(offsets[:, 0], expected, atol=1e-6)
    assert torch.allclose(offsets[:, 1], 2 * expected, atol=1e-6)


def test_channels_that_heads_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="a divisor of the 8 channels"):
        DeformableAttention(16, 8, heads=3, points=2)
