"""Made-up lung cancer patients with a scan, a record and an outcome whose hazard is known in closed form.

It proves plumbing and fusion, nothing about people: half of the hazard can only be seen in the scan
(size of the tumour, dark core), half only in the record (age, performance status, smoking).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...imaging.volume import Grid, Mask, Volume
from ...models.language.duplus.network import Duplus, DuplusConfig, masked_averages
from ...models.prognosis.ehr import Outcome
from ...models.prognosis.tumour_measures import tumour_measures
from ...models.text.encoders import HashedWords

SHAPE, SPACING_MM = (32, 32, 16), 4.0
PATIENTS, SEED = 480, 17
# Log hazard ratios of standardised factors: ours, chosen so that scan and record carry alike.
WEIGHTS: Mapping[str, float] = {"volume": 0.75, "core": 0.5, "age": 0.6, "performance": 0.5, "smoking": 0.45}
MEDIAN_DAYS = 700.0
SHAPE_PARAMETER = 1.2  # of the Weibull hazard; above 1 it grows with time
NETWORK = DuplusConfig(base=8, blocks=(1, 1, 1, 1), text_dim=64, pooled=16, hidden=32)


@dataclass(frozen=True)
class MadePatient:
    """A patient and the truth.

    Attributes:
        volume, tumour: scan in HU and its tumour, marked synthetic.
        values: the record's fields.
        hazard: true log hazard ratio; no model can rank better than by it.
    """

    volume: Volume
    tumour: Mask
    values: Mapping[str, Any]
    outcome: Outcome
    hazard: float


@dataclass(frozen=True)
class MadeRow:
    """A patient as a table row, the scan turned into features."""

    values: Mapping[str, Any]
    outcome: Outcome
    image: tuple[float, ...]
    hazard: float


def made_patients(count: int = PATIENTS, seed: int = SEED) -> Iterator[MadePatient]:
    """Patients one after the other, a function of (seed, number) only."""
    for number in range(count):
        yield _patient(np.random.default_rng([seed, number]))


def _patient(rng: np.random.Generator) -> MadePatient:
    size, core = rng.standard_normal(), rng.uniform(0.0, 0.8)
    age = float(np.clip(rng.normal(66, 9), 40, 90))
    performance, smoking = int(rng.integers(0, 4)), str(rng.choice(["never", "former", "current"]))
    factors = {
        "volume": size,
        "core": (core - 0.4) / 0.231,  # mean and sd of the uniform distribution
        "age": (age - 66) / 9,
        "performance": (performance - 1.5) / 1.118,
        "smoking": {"never": -1.0, "former": 0.0, "current": 1.0}[smoking] / 0.816,
    }
    hazard = sum(WEIGHTS[name] * value for name, value in factors.items())
    volume, tumour = _scan(rng, radius_mm=float(13.0 * np.exp(0.25 * size)), core=float(core))
    values: dict[str, Any] = {"age_years": round(age, 1), "performance_status": float(performance), "smoking": smoking}
    for name in values:
        if rng.random() < 0.05:  # some fields are never known
            values[name] = None
    return MadePatient(volume, tumour, values, _outcome(rng, hazard), hazard)


def _outcome(rng: np.random.Generator, hazard: float) -> Outcome:
    """Weibull time of death against an independent, uniform end of follow-up; about 30 % are censored."""
    scale = MEDIAN_DAYS / np.log(2) ** (1 / SHAPE_PARAMETER)
    death = scale * (rng.exponential() / np.exp(hazard)) ** (1 / SHAPE_PARAMETER)
    end = rng.uniform(200, 3400)
    return Outcome(round(float(min(death, end)), 1), bool(death <= end))


def _scan(rng: np.random.Generator, *, radius_mm: float, core: float) -> tuple[Volume, Mask]:
    """A chest crop: muscle, lung, a tumour with a dark core that holds `core` of its volume."""
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    grid = Grid(SHAPE, affine)
    centre = (np.array(SHAPE) - 1) / 2 * SPACING_MM
    points = np.moveaxis(np.indices(SHAPE), 0, -1) * SPACING_MM - centre
    hu = np.full(SHAPE, 40.0)
    hu[((points / (56, 60, 80)) ** 2).sum(-1) < 1] = -820.0
    place = rng.uniform(-8, 8, 3) * (1, 1, 0.5)
    stretch = np.array([1.0, rng.uniform(0.8, 1.25), 1.0])
    stretch[0] = 1 / stretch[1]  # the volume stays
    distance = np.sqrt((((points - place) / (radius_mm * stretch)) ** 2).sum(-1))
    tumour = distance < 1
    hu[tumour] = 60.0
    hu[distance < core ** (1 / 3)] = 5.0
    hu += 12.0 * rng.standard_normal(SHAPE)
    return Volume(hu.astype(np.float32), grid, "ct", synthetic=True), Mask(tumour, grid)


def synthetic_table_rows(count: int = PATIENTS, seed: int = SEED, *, network: bool = True) -> list[MadeRow]:
    """Every patient with measures of the tumour and, unless left out, features of a DuPLUS trunk."""
    look = TrunkFeatures() if network else None
    rows = []
    for patient in made_patients(count, seed):
        array = np.asarray(patient.volume.array)
        measures = tumour_measures(patient.tumour.array, None, patient.volume.grid, array)
        image = tuple(float(v) for v in look(array, patient.tumour.array)) if look else ()
        rows.append(MadeRow({**patient.values, **measures}, patient.outcome, image, patient.hazard))
    return rows


class TrunkFeatures:
    """Bottleneck vector (16) and masked averages (8) of a fixed, untrained DuPLUS trunk under a context text."""

    def __init__(self) -> None:
        torch.manual_seed(SEED)
        self.net = Duplus(NETWORK).eval()
        self.context = torch.from_numpy(HashedWords(NETWORK.text_dim).encode(["A CT scan of the thorax"]))

    def __call__(self, array: npt.NDArray[Any], tumour: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """(24) of a scan (x y z) and its tumour."""
        scaled = torch.from_numpy(np.clip((array + 250) / 500, 0, 1).astype(np.float32))  # Source: spec §5
        with torch.inference_mode():
            seen = self.net.encode(scaled[None, None], [0], self.context)
            inside = masked_averages(seen.decoded, torch.from_numpy(tumour)[None, None])
        return np.asarray(torch.cat([seen.pooled[0], inside[0, 0]]).numpy())
