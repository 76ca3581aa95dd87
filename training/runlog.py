"""What a run leaves behind: `log.csv`, TensorBoard events where it is installed, and a plot of the losses."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

_SMOOTHED = 25  # steps averaged in the plot


class RunLog:
    """Appends one row of numbers per step; a resumed run goes on in the same file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log.csv"
        self._columns: list[str] = []
        self._events: Any = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(folder / "tensorboard"), flush_secs=60)

    def write(self, row: dict[str, float]) -> None:
        """Add a row with `step` among its columns; a column never seen before is empty in older rows."""
        self._columns = self._columns or self._header()
        if set(row) - set(self._columns):
            self._widen([*self._columns, *(name for name in row if name not in self._columns)])
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, fieldnames=self._columns).writerow(row)
        if self._events is not None:
            for name, value in row.items():
                if name != "step":
                    self._events.add_scalar(name, value, int(row["step"]))

    def _header(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").split("\n", 1)[0].split(",") if self.path.exists() else []

    def _widen(self, columns: list[str]) -> None:
        rows = []
        if self.path.exists():
            with self.path.open(encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        with self.path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=columns)
            writer.writeheader()
            writer.writerows(rows)
        self._columns = columns

    def forget_after(self, step: int) -> None:
        """Drop rows past a checkpoint: a killed run repeats those steps."""
        if not self.path.exists():
            return
        head, *rows = self.path.read_text(encoding="utf-8").splitlines()
        column = head.split(",").index("step")
        kept = [row for row in rows if int(row.split(",")[column]) <= step]
        self.path.write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")

    def close(self) -> None:
        """Let the events file go."""
        if self._events is not None:
            self._events.close()


def read_log(path: Path) -> dict[str, list[float]]:
    """Column -> its values in `log.csv`."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name] or "nan") for row in rows] for name in (rows[0] if rows else {})}


def plot(log: Path, picture: Path) -> None:
    """Draw every loss term of a log against the step, smoothed, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = read_log(log)
    figure = Figure(figsize=(7, 4))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, values in columns.items():
        if name in ("step", "lr", "cpu_s"):
            continue
        width = min(_SMOOTHED, len(values))
        smooth = np.convolve(values, np.ones(width) / width, mode="valid")
        axes.plot(columns["step"][width - 1 :], smooth, label=name)
    axes.set_xlabel("step")
    axes.set_ylabel(f"loss, mean of {_SMOOTHED} steps")
    axes.legend()
    figure.tight_layout()
    figure.savefig(picture, dpi=100)
