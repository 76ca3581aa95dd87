"""What doctor says of processors and cards; answers of nvidia-smi are written out as its manual has them."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostensor.commands.watching.devices import card_lines, device_lines, processor_words
from ostensor.workers import devices


def test_a_processor_is_told_by_what_it_does_fast() -> None:
    assert processor_words(frozenset({"avx2", "avx512f", "avx512_bf16"})) == "AVX2, AVX-512; bf16 in hardware"
    assert "no bf16" in processor_words(frozenset({"avx2"}))
    assert "cannot be read" in processor_words(frozenset())


def test_a_card_is_told_with_memory_and_capability() -> None:
    told = "NVIDIA H200, 143771, 143000, 9.0, 570.10\nTesla T4, 15360, 15000, 7.5, 570.10\n[N/A]\n"
    assert card_lines(told) == [
        "card 0: NVIDIA H200, 143771 MB (143000 MB free), compute capability 9.0, bf16, driver 570.10",
        "card 1: Tesla T4, 15360 MB (15000 MB free), compute capability 7.5, no bf16, driver 570.10",
    ]


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of programs, where a test puts its driver's."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    devices.cards.cache_clear()
    yield tmp_path
    devices.cards.cache_clear()


def put(folder: Path) -> None:
    program = folder / "nvidia-smi"
    program.write_text(
        '#!/bin/sh\ncase "$1" in *compute_cap*) echo "NVIDIA H200, 143771, 143000, 9.0, 570.10";;'
        ' *) echo "0, 143771, GPU-12ab";; esac\n',
        encoding="utf-8",
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_without_a_card_auto_takes_the_processor(driver: Path) -> None:
    *_, cards, chosen = device_lines(None)
    assert "no CUDA card" in cards
    assert chosen == "--device auto takes cpu"


def test_with_a_card_auto_takes_it_with_its_limit(driver: Path) -> None:
    """90 % of its memory, by hand: 143771 x 0.9 = 129393.9."""
    put(driver)
    *_, cards, chosen = device_lines(None)
    assert cards.startswith("card 0: NVIDIA H200")
    assert chosen == "--device auto takes cuda:0 (up to 129393 MB a request)"


def test_a_hidden_card_is_said_to_be_hidden(driver: Path) -> None:
    put(driver)
    *_, hidden, chosen = device_lines("")
    assert "CUDA_VISIBLE_DEVICES" in hidden
    assert chosen == "--device auto takes cpu"
