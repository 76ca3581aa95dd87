"""The store: a folder that remembers images, masks and jobs across restarts.

A catalogue (SQLite in WAL mode, or PostgreSQL that servers share: docs/shared.md) beside array files named by their
content. The folder and all in it are for its owner alone. Arrays are on disk before their row is committed, so a kill at any moment leaves at
worst an array nobody names; `gc` removes it. What a call acknowledged is durable.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ..imaging.dicom.source import DicomSource
from ..imaging.errors import BadCall, Failed
from ..imaging.guards.private import make_private_folder
from ..imaging.region import Region
from ..imaging.volume import Mask, Volume
from .catalogue.engines import engine_of, put_row
from .catalogue.refinements import RefinementLog
from .catalogue.upgrading import change, schemas
from .checksums import is_whole
from .folder import StoreFolder
from .heartbeat import STORAGE_ERRORS
from .records import (
    Facts,
    ImageRecord,
    MaskRecord,
    grid_from_json,
    grid_to_json,
    images,
    masks,
    metadata,
    now,
    refinements,
    results,
)
from .shared import ALONE, Shared

log = logging.getLogger(__name__)

_AT_A_TIME = 200  # files that `gc` looks at in one transaction


def upgrade_all(folder: Path, shared: Shared = ALONE) -> Iterator[tuple[str, str | None]]:
    """Bring the catalogue of a store and those of its callers up; gives each one's name and the version it had.

    Raises:
        Unavailable: one is of a later version, or cannot be reached.
    """
    make_private_folder(folder)
    parts = [("store", folder, shared)]
    if shared.catalogue:
        found = schemas(engine_of(folder, shared))
        parts += [(schema, folder, replace(shared, schema=schema)) for schema in found]
    else:
        parts += [(path.parent.name, path, shared) for path in sorted(folder.glob("callers/*/store"))]
    for name, place, part in parts:
        yield name, change(engine_of(place, part), part.schema, metadata, may_upgrade=True)


class Store(StoreFolder):
    """Images, masks, jobs and the audit log of one folder.

    Args:
        folder: made if missing; holds `catalogue.sqlite`, `arrays/` and `audit.jsonl`.
        shared: a database and a place for arrays instead of the folder's own, for several servers.

    Attributes:
        repairs: what start-up had to put right, one sentence each.
        refinements: what people pointed at, step by step.
    """

    def __init__(self, folder: Path, *, shared: Shared = ALONE) -> None:
        super().__init__(folder, shared=shared)
        self.refinements = RefinementLog(self.engine, self.writing)
        try:
            self.repairs = self.repair()
        except STORAGE_ERRORS as error:
            log.warning("the store could not be repaired: %s", type(error).__name__)
            self.repairs = ("Nothing could be repaired: the store cannot be written (is its disk full?).",)

    def add_image(
        self,
        volume: Volume,
        *,
        source_name: str,
        facts: Mapping[str, Any] | None = None,
        source: DicomSource | None = None,
    ) -> ImageRecord:
        """Keep an image and answer its record; the same image of the same source always has the same handle.

        Args:
            source: the DICOM identity it was read with. Part of the handle, so that the same voxels of
                an anonymised scan, of a named one and of a file without identity are three images.
        """
        content = volume.content_hash
        key = content if source is None else hashlib.sha256(f"{content}\n{source.fingerprint}".encode()).hexdigest()
        image_id = f"img_{key[:12]}"
        record = ImageRecord(
            image_id=image_id,
            content_hash=content,
            source_name=source_name,
            modality=volume.modality,
            synthetic=volume.synthetic,
            grid=volume.grid,
            facts=dict(facts or {}),
            created=now(),
        )
        row = {**vars(record), "grid": grid_to_json(volume.grid)}

        def put() -> None:
            self.arrays.put_image(content, volume.array)
            if source is not None:
                self.sources.put(image_id, source)

        self.keep(images, "image_id", row, self.arrays.image_path(content), put, volume.array.nbytes)
        return self.image(image_id)

    def image(self, image_id: str) -> ImageRecord:
        """What is known about an image.

        Raises:
            BadCall: nothing has this handle.
        """
        row = self.row(images, "image_id", image_id)
        if row is None:
            raise BadCall(f"Unknown image '{_short(image_id)}'. {self.known(images, 'image_id')} Call open_image.")
        return _image_record(row)

    def volume(self, image_id: str) -> Volume:
        """The image itself; its voxels are mapped read-only, not loaded."""
        record = self.image(image_id)
        with self.explained():
            return Volume(self.arrays.image(record.content_hash), record.grid, record.modality, record.synthetic)

    def array_path(self, image_id: str) -> Path:
        """The `.npy` file of the voxels (x y z), for a worker to map."""
        return self.arrays.here(self.arrays.image_path(self.image(image_id).content_hash))

    def add_mask(
        self,
        mask: Mask,
        *,
        image_id: str,
        structure: str | None = None,
        made_by: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> MaskRecord:
        """Keep a mask of an image.

        Args:
            made_by: the tool, model and weights that made it; part of the handle, so that two
                models that agree voxel by voxel still have two masks with their own provenance.
            facts: provenance and verdict, JSON.

        Raises:
            BadCall: the image is unknown, or the mask is not on its grid.
        """
        image = self.image(image_id)
        if not mask.grid.same_as(image.grid):
            raise BadCall(
                f"The mask lies on a grid of shape {mask.grid.shape}, its image on {image.grid.shape} or elsewhere in "
                "space. A mask must share its image's grid. Resample it first."
            )
        content = mask.content_hash
        key = hashlib.sha256("\n".join((content, image_id, structure or "", made_by)).encode()).hexdigest()
        record = MaskRecord(
            mask_id=f"msk_{key[:12]}",
            content_hash=content,
            image_id=image_id,
            structure=structure,
            voxels=int(mask.array.sum()),
            facts=dict(facts or {}),
            created=now(),
        )
        place = self.arrays.mask_path(content)
        self.keep(
            masks,
            "mask_id",
            vars(record),
            place,
            lambda: self.arrays.put_mask(content, mask.array),
            mask.array.size // 8,
        )
        return self.mask_record(record.mask_id)

    def mask_record(self, mask_id: str) -> MaskRecord:
        """What is known about a mask.

        Raises:
            BadCall: nothing has this handle.
        """
        row = self.row(masks, "mask_id", mask_id)
        if row is None:
            raise BadCall(f"Unknown mask '{_short(mask_id)}'. {self.known(masks, 'mask_id')} Call segment first.")
        return MaskRecord(**row)

    def mask(self, mask_id: str) -> Mask:
        """The mask itself, on its image's grid."""
        record = self.mask_record(mask_id)
        with self.explained():
            return Mask(self.arrays.mask(record.content_hash), self.image(record.image_id).grid)

    def region(self, mask_id: str) -> Region:
        """The mask cut to its voxels: enough to measure it, and much faster to read."""
        record = self.mask_record(mask_id)
        with self.explained():
            return self.arrays.mask_region(record.content_hash, self.image(record.image_id).grid)

    def images(self) -> tuple[ImageRecord, ...]:
        """Every image, oldest first."""
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(images).order_by(images.c.created, images.c.image_id)).mappings()
            return tuple(_image_record(dict(row)) for row in rows)

    def every_mask(self) -> tuple[MaskRecord, ...]:
        """Every mask of every image, newest first."""
        query = sa.select(masks).order_by(masks.c.created.desc(), masks.c.mask_id)
        with self.engine.connect() as connection:
            return tuple(MaskRecord(**row) for row in connection.execute(query).mappings())

    def masks_of(self, image_id: str) -> tuple[MaskRecord, ...]:
        """Every mask of an image, oldest first."""
        query = sa.select(masks).where(masks.c.image_id == image_id).order_by(masks.c.created, masks.c.mask_id)
        with self.engine.connect() as connection:
            return tuple(MaskRecord(**row) for row in connection.execute(query).mappings())

    def keep_result(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep a step of long work, JSON, under a key of what it was made of (64 hex digits); an older one is replaced."""
        with self.writing() as connection:
            connection.execute(
                put_row(self.engine, results, "result_key", result_key=key, value=dict(value), created=now())
            )

    def kept_result(self, key: str) -> Facts | None:
        """What was kept under a key, or None."""
        row = self.row(results, "result_key", key)
        return None if row is None else dict(row["value"])

    def remove_image(self, image_id: str) -> None:
        """Forget an image, its masks, what was answered about it and whose it was; `gc` then frees the disk."""
        self.image(image_id)
        with self.writing() as connection:
            connection.execute(masks.delete().where(masks.c.image_id == image_id))
            connection.execute(refinements.delete().where(refinements.c.image_id == image_id))
            connection.execute(results.delete().where(results.c.result_key.startswith(image_id.removeprefix("img_"))))
            connection.execute(images.delete().where(images.c.image_id == image_id))
        self.sources.forget(image_id)

    def write_audit(self, tool: str, arguments: Mapping[str, Any], outcome: str) -> None:
        """Append one call to the audit log."""
        self.audit.write(tool, arguments, outcome)

    def repair(self) -> tuple[str, ...]:
        """Put right what a kill left behind and say what was done, one sentence each."""
        done = []
        leftovers = list(self.arrays.unfinished())
        for path in leftovers:
            path.unlink(missing_ok=True)
        if leftovers:
            done.append(f"Removed {len(leftovers)} half-written array files.")
        cut = [path for path in self.arrays.local() if self.arrays.is_cut(path)]
        if cut:
            with self.alone():
                for path in cut:
                    path.unlink(missing_ok=True)
            done.append(f"Removed {len(cut)} array files that were cut short.")
        lost = self.mark_lost()
        if lost:
            done.append(f"Marked {len(lost)} jobs as lost because their process is gone: {', '.join(lost)}.")
        self.forget_beats()
        # A place that others share and that lacks arrays may be the wrong one: nothing is forgotten because of it.
        gone = [] if self.shared != ALONE else self._forget_rows_without_arrays()
        if gone:
            done.append(
                f"Forgot {len(gone)} entries whose array file is missing: {', '.join(gone)}. Open or make them again."
            )
        return tuple(done)

    def gc(self, *, older_than_s: float = 3600.0) -> int:
        """Delete array and source files no entry names; returns the bytes freed.

        What is deleted is chosen while nobody can add an entry, and whoever adds one looks afterwards whether its file
        is still there: an array that is being acknowledged is never lost.

        Args:
            older_than_s: younger files are kept, because their row may be about to be written.
        """
        freed = self.arrays.sweep()
        paths = list(self.arrays.all())
        for begin in range(0, len(paths) or 1, _AT_A_TIME):
            with self.alone() as connection:
                named = {self.arrays.image_path(h) for h in connection.scalars(sa.select(images.c.content_hash))}
                named |= {self.arrays.mask_path(h) for h in connection.scalars(sa.select(masks.c.content_hash))}
                for path in paths[begin : begin + _AT_A_TIME]:
                    freed += 0 if path in named else self.arrays.free(path, older_than_s)
                if begin == 0:
                    image_ids = set(connection.scalars(sa.select(images.c.image_id)))
                    freed += self.sources.forget_all_but(image_ids, older_than_s=older_than_s)
        return freed

    def verify(self, *, report: Callable[[float, str], None] = lambda share, message: None) -> tuple[str, ...]:
        """Handles whose stored voxels no longer match their hash; reads every array.

        Args:
            report: hears the share done and a word about it.
        """
        kept = self.images()
        bad = []
        for number, image in enumerate(kept):
            report(number / len(kept), image.image_id)
            bad += [] if self._is_intact(image) else [image.image_id]
            bad += [
                record.mask_id for record in self.masks_of(image.image_id) if not self._mask_is_intact(record, image)
            ]
        return tuple(bad)

    def _is_intact(self, image: ImageRecord) -> bool:
        try:
            return (
                is_whole(self.array_path(image.image_id), every=True)
                and self.volume(image.image_id).content_hash == image.content_hash
            )
        except (BadCall, Failed):
            return False

    def _mask_is_intact(self, record: MaskRecord, image: ImageRecord) -> bool:
        try:
            return Mask(self.arrays.mask(record.content_hash), image.grid).content_hash == record.content_hash
        except (BadCall, Failed):
            return False

    def _forget_rows_without_arrays(self) -> list[str]:
        gone = []
        for image in self.images():
            if not self.arrays.image_path(image.content_hash).exists():
                gone.append(image.image_id)
                self.remove_image(image.image_id)
                continue
            for record in self.masks_of(image.image_id):
                if not self.arrays.mask_path(record.content_hash).exists():
                    gone.append(record.mask_id)
                    with self.writing() as connection:
                        connection.execute(masks.delete().where(masks.c.mask_id == record.mask_id))
        return gone


def result_key(image_id: str, made_of: str) -> str:
    """The key of a result about one image: it begins with the image's own digits, so that `remove_image` finds it."""
    digits = image_id.removeprefix("img_")
    return (digits + hashlib.sha256(made_of.encode()).hexdigest())[:64]


def _short(handle: str) -> str:
    return handle[:40]


def _image_record(row: Facts) -> ImageRecord:
    record = ImageRecord(**row)
    return replace(record, grid=grid_from_json(row["grid"]))
