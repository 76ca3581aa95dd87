"""Any program or container: scans in as NIfTI files, a label map out, a template for the line."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from engine_host import Line, Refused, end_children
from nibabel.filebasedimages import ImageFileError

_SHARE = re.compile(rb"(\d{1,3})(?:\.\d+)? ?%")
_TOLERANCE_MM = 1e-3
_POLL_S = 0.05
_MOST_OUTPUT = 16 << 20  # bytes of what a program says that are kept


class Adapter:
    """A template with `{image}` (or `{image0}`, `{image1}`), `{mask}`, `{folder}`, `{device}` and `{threads}`."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.settings: dict[str, Any] = {}

    def describe(self, request: dict[str, Any], line: Line) -> dict[str, Any]:
        """Nothing to tell before it runs."""
        return {"version": ""}

    def load(self, request: dict[str, Any], line: Line) -> dict[str, Any]:
        """See that the program is there."""
        self.settings = request
        self.words = shlex.split(request["options"]["template"])
        if shutil.which(self.words[0]) is None:
            raise Refused(
                "engine_missing", f"The program '{Path(self.words[0]).name}' is not on this machine. Install it."
            )
        return {"version": Path(self.words[0]).name}

    def run(self, request: dict[str, Any], line: Line) -> dict[str, Any]:
        """Write the scan, run the program, read its masks."""
        folder = Path(request["folder"])
        affine = np.array(request["affine"])
        names = {"mask": str(folder / "mask.nii.gz"), "folder": str(folder), "device": self.settings["device"],
                 "threads": str(self.settings["threads"])}  # fmt: skip
        for number, file in enumerate(request["images"]):
            names[f"image{number}"] = str(folder / f"image{number}.nii.gz")
            array = np.load(file, allow_pickle=False)
            array = array.astype(np.uint8) if array.dtype == bool else array
            array = array.astype(np.int32) if array.dtype in (np.int64, np.uint64, np.uint32) else array
            array = array.astype(np.float32) if array.dtype in (np.float16, np.float64) else array
            nibabel.save(nibabel.Nifti1Image(array, affine), names[f"image{number}"])
        names["image"] = names["image0"]
        (folder / "masks").mkdir()
        names["masks"] = str(folder / "masks")
        try:
            self._run([word.format(**names) for word in self.words], folder, line)
            shape = np.load(request["images"][0], mmap_mode="r").shape
            np.save(folder / "answer.npy", self._answer(folder, shape, affine))
        finally:
            shutil.rmtree(folder / "masks", ignore_errors=True)
        return {}

    def _run(self, words: list[str], folder: Path, line: Line) -> None:
        with (folder / "output").open("ab") as output:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder)
        try:
            told = 0.0
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = process.wait(timeout=_POLL_S)
                    break
                line.stop_if_called_off()
                with (folder / "output").open("rb+") as output:
                    length = output.seek(0, os.SEEK_END)
                    output.seek(max(0, length - 4096))
                    shares = [int(found) / 100 for found in _SHARE.findall(output.read())]
                    if length > _MOST_OUTPUT:
                        output.truncate(0)
                if shares and told < shares[-1] <= 1:
                    told = shares[-1]
                    line.tell(told)
        finally:
            end_children()
            process.wait()
        if code:
            raise Refused(
                "engine_crashed", f"The program ended with status {code}. Run it by hand on a scan to see what it says."
            )

    def _answer(self, folder: Path, shape: tuple[int, ...], affine: Any) -> Any:
        """The label map, or a mask a class where the program writes files of its own for each; those may overlap."""
        whole = folder / "mask.nii.gz"
        if whole.is_file():
            return self._read(whole, shape, affine)
        classes = self.settings["classes"]
        found = {label: folder / "masks" / f"{label}.nii.gz" for label in classes}
        there = {label: path for label, path in found.items() if path.is_file()}
        if not there:
            raise Refused(
                "engine_geometry_broken", "The program wrote neither {mask} nor a file for any class into {masks}."
            )
        stack = np.zeros((max(max(values) for values in classes.values()) + 1, *shape), bool)
        for label, path in there.items():
            stack[classes[label][0]] = self._read(path, shape, affine) > 0
        return stack

    def _read(self, path: Path, shape: tuple[int, ...], affine: Any) -> Any:
        try:
            image = nibabel.load(path)
            if (
                image.shape != shape or not np.abs(image.affine - affine).max() <= _TOLERANCE_MM
            ):  # NaN is no small number
                raise Refused("engine_geometry_broken", f"The program answered on another grid: shape {image.shape}, not {shape}, or another affine.")  # fmt: skip
            return np.asanyarray(image.dataobj)
        except (ImageFileError, OSError, ValueError, EOFError, zlib.error):
            raise Refused(
                "engine_geometry_broken", "What the program wrote is no NIfTI file, or a damaged one."
            ) from None
