"""What a prognosis run leaves behind: weights in one safetensors file, facts in a JSON beside it, a picture."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from ...imaging.errors import BadCall, Unavailable
from ...models.prognosis.curves import Curves, Ensemble
from ...models.prognosis.ehr import Feature
from ...models.prognosis.reading import dictionaries
from .cross_validation import CrossValidation, summary
from .metrics import calibration, harrell, kaplan_meier
from .objective import Encoding
from .plan import PrognosisConfig
from .tables import Patient, outcomes

Array = npt.NDArray[np.float64]
_RESAMPLES = 500
_BACKGROUND = 40  # cohort patients kept, as encoded rows without names, for the contributions


def write_run(
    folder: Path,
    plan: PrognosisConfig,
    patients: Sequence[Patient],
    checked: CrossValidation,
    encoding: Encoding,
    made: Ensemble,
) -> None:
    """`NAME.safetensors`, `NAME.json` and `calibration.png` in the run folder."""
    rows = encoding.rows(patients)
    rng = np.random.default_rng(plan.seed)
    kept = np.sort(rng.choice(len(patients), min(_BACKGROUND, len(patients)), replace=False))
    tensors = {
        f"{m}.{key}": value.astype(np.float32)
        for m, weights in enumerate(made.members)
        for key, value in weights.items()
    }
    tensors |= {
        "background.image": rows.image[kept].astype(np.float32),
        "background.ehr": rows.ehr[kept].astype(np.float32),
    }
    content = save({key: np.ascontiguousarray(value) for key, value in tensors.items()})
    (folder / f"{plan.name}.safetensors").write_bytes(content)
    facts = _facts(plan, patients, checked, encoding, made, made.curves(rows.image, rows.ehr, rows.text))
    facts["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / f"{plan.name}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    _picture(folder / "calibration.png", plan, patients, checked)


def _facts(
    plan: PrognosisConfig,
    patients: Sequence[Patient],
    checked: CrossValidation,
    encoding: Encoding,
    made: Ensemble,
    final: Curves,
) -> dict[str, Any]:
    truth = outcomes(list(patients))
    native = dictionaries().get(plan.cohort)
    ages = [p.values["age_years"] for p in patients if p.values.get("age_years") is not None]
    low, high = c_interval(truth, checked.held_out, plan.seed)
    days = [round(float(day), 1) for day in np.linspace(0, made.edges[-1], 25)]
    return {
        "name": plan.name,
        "title": plan.title,
        "cohort": plan.cohort,
        "mode": plan.mode,
        "text": plan.text,
        "network": plan.network,
        "head": dict(made.config),
        "edges": list(made.edges),
        "shrink": made.shrink,
        "centre": list(made.centre),
        "image": [_plain(feature) for feature in encoding.image],
        "ehr": [_plain(feature) for feature in encoding.ehr],
        "members": len(made.members),
        "patients": len(patients),
        "deaths": int(truth["died"].sum()),
        "age_range": [min(ages), max(ages)],
        "follow_up_days": float(np.median(truth["days"])),
        "horizon_days": float(made.edges[-1]),
        "risk_tertiles": [float(v) for v in np.quantile(final.risk, (1 / 3, 2 / 3))],
        "risk_percentiles": [float(v) for v in np.quantile(final.risk, np.linspace(0, 1, 101))],
        "cohort_curve": [{"day": day, "probability": kaplan_meier(truth, day)} for day in days],
        "metrics": summary(checked),
        "c_index": round(harrell(truth, checked.held_out), 4),
        "c_index_low": round(low, 4),
        "c_index_high": round(high, 4),
        "missing_share": {
            f.field: round(sum(f.is_missing(p.values.get(f.field)) for p in patients) / len(patients), 3)
            for f in (*encoding.image, *encoding.ehr)
        },
        "licence": native.licence if native else "none: made-up patients",
        "purpose": "research-only",
        "source": native.source if native else "training/prognosis/synthetic_cohort.py",
        "seed": plan.seed,
        "folds": plan.folds,
        "repeats": plan.repeats,
        "notes": plan.notes,
        "command": f"ostensor fit {plan.name}",
    }


def _plain(feature: Feature) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(feature).items()}


def c_interval(truth: npt.NDArray[Any], risk: Array, seed: int) -> tuple[float, float]:
    """95 % bootstrap interval over patients of Harrell's C of held-out risks."""
    rng = np.random.default_rng(seed)
    found: list[float] = []
    while len(found) < _RESAMPLES:
        drawn = rng.integers(len(truth), size=len(truth))
        if truth["died"][drawn].sum() > 1:
            found.append(harrell(truth[drawn], risk[drawn]))
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)


def _picture(path: Path, plan: PrognosisConfig, patients: Sequence[Patient], checked: CrossValidation) -> None:
    """Expected against observed survival of held-out patients at the middle of the follow-up."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    truth = outcomes(list(patients))
    figure = Figure(figsize=(4, 4), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.7")
    for n in (len(checked.days) // 2, len(checked.days) - 1):
        rows = calibration(truth, checked.curves[:, n], float(checked.days[n]))
        axes.plot(
            [r["expected"] for r in rows], [r["observed"] for r in rows], "o-", label=f"day {checked.days[n]:.0f}"
        )
    axes.set(xlabel="expected survival", ylabel="observed survival", title=plan.name, xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def run_table(folder: Path, name: str) -> str:
    """The figures of a run as a Markdown table.

    Raises:
        Unavailable: the run was never made.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        raise Unavailable(f"There is no run of '{name}'. Make it with `ostensor fit {name}`.")
    facts = json.loads(path.read_text(encoding="utf-8"))
    rows = [_row(method, metrics) for method, metrics in facts["metrics"].items()]
    head = "| method | Harrell C | Antolini C | integrated Brier |\n|---|---|---|---|"
    return "\n".join([f"{facts['title']}: {facts['patients']} patients, {facts['deaths']} deaths.", head, *rows])


def export_run(name: str, *, runs: Path, weights: Path) -> Path:
    """Copy a run's weights and facts to where the tool finds them, and write the card anew.

    Raises:
        BadCall: the run reads text or a network's features, which `predict_prognosis` does not make.
    """
    facts = json.loads((runs / name / f"{name}.json").read_text(encoding="utf-8"))
    if facts["text"] or facts["network"]:
        raise BadCall(f"'{name}' reads text or a network's features; predict_prognosis only takes fields and measures.")
    for ending in ("safetensors", "json"):
        shutil.copyfile(runs / name / f"{name}.{ending}", weights / f"{name}.{ending}")
    (weights / "PROGNOSIS.md").write_text(card_text(weights), encoding="utf-8")
    return weights / f"{name}.json"


def card_text(weights: Path) -> str:
    """The card of every prognosis model in a folder, as Markdown."""
    parts = [
        "# Prognosis models\n",
        "Research only. Small cohorts; not validated elsewhere; not for decisions about patients. "
        "C-index: mean (sd) over folds, patients split, deaths dealt out evenly; all methods on the same folds.\n",
    ]
    for path in sorted(weights.glob("prognosis-*.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        parts.append(
            f"## {facts['name']}\n\n{facts['title']}. {facts['patients']} patients, {facts['deaths']} deaths, "
        )
        parts.append(
            f"ages {facts['age_range'][0]:.0f} to {facts['age_range'][1]:.0f}, horizon {facts['horizon_days']:.0f} days."
        )
        parts.append(f"Source: {facts['source']}; licence {facts['licence']}; use: {facts['purpose']}.")
        parts.append(
            f"Made by `{facts['command']}`, seed {facts['seed']}, {facts['folds']} folds x {facts['repeats']}.\n"
        )
        parts.append(
            f"{facts['notes']} Log odds of survival are shrunk by {facts['shrink']:.2f}, fitted on held-out curves; the table is before it.\n"
        )
        parts.append("| method | Harrell C | Antolini C | integrated Brier |\n|---|---|---|---|")
        parts += [_row(method, metrics) for method, metrics in facts["metrics"].items()]
        parts.append("")
    return "\n".join(parts) + "\n"


def _row(method: str, metrics: Mapping[str, Mapping[str, float]]) -> str:
    cells = [
        f"{metrics[m]['mean']:.3f} ({metrics[m]['sd']:.3f})" if m in metrics else "-"
        for m in ("harrell", "antolini", "integrated_brier")
    ]
    return f"| {method} | {' | '.join(cells)} |"
