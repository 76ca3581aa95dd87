"""Training one prognosis head on a table: full batches, bootstrap draws, some fields forgotten at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from ...imaging.errors import Failed
from ...models.prognosis.curves import Ensemble, head_scores
from ...models.prognosis.ehr import Feature, column_names, encode
from ...models.prognosis.heads import SurvivalConfig, SurvivalHeads, bins_of, members_loss, quantile_edges
from .tables import Patient

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HeadSchedule:
    """How a head learns.

    Attributes:
        members: heads of the ensemble, each on patients drawn with replacement.
        forget: share of fields set to missing anew in every step, so that missing ones are met as trained.
    """

    steps: int = 200
    learning_rate: float = 0.02
    members: int = 10
    forget: float = 0.1


@dataclass(frozen=True)
class Inputs:
    """Patients as rows.

    Attributes:
        image: (n i) measures of the mask and further image features, standardised.
        ehr: (n e) the record's columns, then its missing indicators.
        text: (n t) vectors of the record's sentence; t is 0 where no text is read.
    """

    image: Array
    ehr: Array
    text: Array


@dataclass(frozen=True)
class Encoding:
    """How patients become rows; fitted on training patients only.

    Attributes:
        image, ehr: features, the first of image measures.
        mean, sd: of further image features (a network's).
        text: whether the vector of the record's sentence is read.
    """

    image: tuple[Feature, ...]
    ehr: tuple[Feature, ...]
    mean: tuple[float, ...] = ()
    sd: tuple[float, ...] = ()
    text: bool = False

    def rows(self, patients: Sequence[Patient]) -> Inputs:
        """The rows of patients."""
        measures = np.array([encode(self.image, p.values) for p in patients]).reshape(len(patients), -1)
        if self.mean:
            extra = (np.array([p.image for p in patients]) - np.array(self.mean)) / np.array(self.sd)
            measures = np.concatenate([extra, measures], axis=1)
        record = np.array([encode(self.ehr, p.values) for p in patients]).reshape(len(patients), -1)
        words = np.array([p.text if self.text else () for p in patients], dtype=np.float64).reshape(len(patients), -1)
        return Inputs(measures, record, words)


def fitted_encoding(
    image: Sequence[Feature], ehr: Sequence[Feature], patients: Sequence[Patient], *, network: bool, text: bool = False
) -> Encoding:
    """Means and standard deviations of the training patients."""
    mean: tuple[float, ...] = ()
    sd: tuple[float, ...] = ()
    if network:
        extra = np.array([p.image for p in patients])
        mean, sd = tuple(extra.mean(axis=0)), tuple(np.maximum(extra.std(axis=0), 1e-6))
    return Encoding(
        tuple(_fitted(feature, patients) for feature in image),
        tuple(_fitted(feature, patients) for feature in ehr),
        mean,
        sd,
        text,
    )


def _fitted(feature: Feature, patients: Sequence[Patient]) -> Feature:
    if feature.kind == "level" and not feature.ordinal:
        return feature
    known = [
        feature.raw(p.values[feature.field]) for p in patients if not feature.is_missing(p.values.get(feature.field))
    ]
    if not known:
        return feature
    return replace(feature, mean=float(np.mean(known)), sd=max(float(np.std(known)), 1e-6))


@dataclass(frozen=True)
class Lesson:
    """What one ensemble learns from: rows, outcomes with fields `died` and `days`, and a seed."""

    rows: Inputs
    outcomes: npt.NDArray[Any]
    seed: int


def train_ensembles(
    lessons: Sequence[Lesson],
    config: SurvivalConfig,
    schedule: HeadSchedule,
    features: tuple[Sequence[Feature], Sequence[Feature]],
) -> list[Ensemble]:
    """An ensemble per lesson, each head on a bootstrap draw of its patients, all trained side by side.

    Deterministic in the seeds. Draws have the length of the shortest lesson.

    Args:
        features: of the measures at the end of `rows.image`, and of `rows.ehr`.

    Raises:
        Failed: the loss became NaN.
    """
    edges = [
        quantile_edges(one.outcomes["days"].tolist(), one.outcomes["died"].tolist(), config.bins) for one in lessons
    ]
    first = lessons[0].rows
    config = replace(config, image=first.image.shape[1], ehr=first.ehr.shape[1], text=first.text.shape[1])
    size = min(len(one.outcomes) for one in lessons)
    draws = []
    for number, one in enumerate(lessons):
        for member in range(schedule.members):
            rng = np.random.default_rng([one.seed, member])
            drawn = _bootstrap(one.outcomes["died"], size, rng) if schedule.members > 1 else np.arange(size)
            draws.append((number, drawn))
    heads = _train(lessons, draws, edges, config, schedule, features)
    made = []
    for number, one in enumerate(lessons):
        mine = [m for m, (owner, _drawn) in enumerate(draws) if owner == number]
        weights = [_weights(heads, m, one, draws[m][1], edges[number]) for m in mine]
        made.append(Ensemble(vars(config), tuple(edges[number]), tuple(weights)))
    return made


def _train(
    lessons: Sequence[Lesson],
    draws: Sequence[tuple[int, npt.NDArray[np.int64]]],
    edges: Sequence[Sequence[float]],
    config: SurvivalConfig,
    schedule: HeadSchedule,
    features: tuple[Sequence[Feature], Sequence[Feature]],
) -> SurvivalHeads:
    def stacked(part: str) -> torch.Tensor:
        rows = np.stack([getattr(lessons[number].rows, part)[drawn] for number, drawn in draws])
        return torch.tensor(rows, dtype=torch.float32)

    truth = [lessons[number].outcomes[drawn] for number, drawn in draws]
    days = torch.tensor(np.stack([one["days"] for one in truth]), dtype=torch.float32)
    died = torch.tensor(np.stack([one["died"] for one in truth]))
    bins = torch.stack([bins_of(row, edges[number]) for row, (number, _drawn) in zip(days, draws, strict=True)])
    image, ehr, text = stacked("image"), stacked("ehr"), stacked("text")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(lessons[0].seed)
        heads = SurvivalHeads(config, len(draws))
        optimizer = torch.optim.Adam(heads.parameters(), lr=schedule.learning_rate)
        plan = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, schedule.steps, schedule.learning_rate / 100)
        for _step in range(schedule.steps):
            seen = [_forget(part, of, schedule.forget) for part, of in zip((image, ehr), features, strict=True)]
            loss = members_loss(heads(seen[0], seen[1], text), config, days, bins, died) + config.l2 * _squares(heads)
            if not torch.isfinite(loss):
                raise Failed(f"The prognosis heads' loss became {loss.item()}. Lower the learning rate.")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            plan.step()
    return heads.eval()


def _forget(rows: torch.Tensor, features: Sequence[Feature], share: float) -> torch.Tensor:
    """Rows (m b f) with a random share of their features turned into missing ones."""
    if not share or not features:
        return rows
    names = column_names(features)
    first = rows.shape[2] - len(names)
    lost = torch.rand(*rows.shape[:2], len(features)) < share
    fields = [feature.field for feature in features]
    hidden = F.pad(lost[:, :, [fields.index(name) for name in names]], (first, 0))
    indicator = torch.zeros(rows.shape[2])
    indicator[-len(features) :] = 1.0
    return torch.where(hidden, indicator, rows)


def _squares(heads: SurvivalHeads) -> torch.Tensor:
    """Sum of squared weights over members; offsets and norms do not count."""
    return torch.stack([value.square().sum() for name, value in heads.named_parameters() if value.dim() == 3]).sum()


def _bootstrap(died: npt.NDArray[np.bool_], size: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """`size` patients drawn with replacement, with the table's share of deaths."""
    deaths = max(1, round(size * float(died.mean())))
    groups = ((np.flatnonzero(died), deaths), (np.flatnonzero(~died), size - deaths))
    return np.concatenate([rng.choice(group, count) for group, count in groups if len(group)])


def _weights(
    heads: SurvivalHeads, member: int, lesson: Lesson, drawn: npt.NDArray[np.int64], edges: Sequence[float]
) -> Mapping[str, Array]:
    """One member in numpy; a Cox head with its baseline hazard."""
    weights = {name: value[member].detach().numpy().astype(np.float64) for name, value in heads.state_dict().items()}
    if heads.config.kind == "cox":
        seen = (part[drawn] for part in (lesson.rows.image, lesson.rows.ehr, lesson.rows.text))
        risk = head_scores(weights, vars(heads.config), *seen)[:, 0]
        weights["baseline"] = breslow(risk, lesson.outcomes[drawn], edges)
    return weights


def breslow(risk: Array, outcomes: npt.NDArray[Any], edges: Sequence[float]) -> Array:
    """Baseline cumulative hazard at the edges. Source: Breslow 1972, deaths over the summed risk of those at risk."""
    days, died = outcomes["days"], outcomes["died"]
    steps = [(day, 1 / np.exp(risk[days >= day]).sum()) for day in days[died]]
    return np.array([sum(step for day, step in steps if day <= edge) for edge in edges])
