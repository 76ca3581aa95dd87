"""Files over HTTP: an upload becomes an image handle, an export is fetched; both confined to the caller's folder."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from ...imaging.errors import BadCall, OstensorError, Unavailable
from ...imaging.formats.headed.reading import refuse_detached
from ...imaging.formats.table import IMAGE_ENDINGS
from ...imaging.guards.atomic import sweep
from ...imaging.guards.doors import Door
from ...imaging.guards.private import open_private
from ...store.quota import NoRoom
from ...tools.desk.desk import Answer
from ...tools.running import use
from .callers import Caller
from .settings import HttpSettings

ENDINGS = (*IMAGE_ENDINGS, ".dcm", ".ima", ".zip")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_IDLE_S = 30.0  # without a byte for so long, an upload is given up
_ABANDONED_S = 20 * _IDLE_S  # since the last byte of an upload
_MB = 1_000_000
_PIECE = 1 << 18
_COUNT_EVERY = 64 * _MB
# Threads of their own, so that no number of uploads holds up who signs in or calls a tool.
WRITERS = anyio.CapacityLimiter(16)
OPENERS = anyio.CapacityLimiter(3)


class Refused(Exception):
    """An upload that is not taken: HTTP status and one sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Received:
    """A file as it arrived.

    Attributes:
        is_new: the caller had not sent the same content under this name before.
    """

    path: Path
    sha256: str
    size: int
    is_new: bool


async def upload(request: Request, caller: Caller, http: HttpSettings) -> Response:
    """`POST /upload?name=ct.nii.gz[&modality=mr][&image_id=img_...][&sha256=...]`, the file as the body.

    Answers 201 with what `open_image` says, or `import_mask` where an image is named that the masks of the file belong
    to, the SHA-256 and the path to open it by again.
    """
    try:
        name = _checked_name(request.query_params.get("name", ""))
        limit = await _room(request, caller, http)
        received = await _received(request.stream(), caller, name, limit)
        if request.query_params.get("sha256", "").lower() not in ("", received.sha256):
            if received.is_new:
                received.path.unlink()
            raise Refused(
                422, f"The file arrived with SHA-256 {received.sha256}, not the one announced. Send it again."
            )
        try:
            return await _opened(request, caller, received)
        except BaseException:  # whatever went wrong, the client left or the memory ended: it is not kept
            if received.is_new:
                received.path.unlink(missing_ok=True)
            raise
    except Refused as refused:
        # What the client still sends is not read, so the connection cannot be used again.
        headers = {"Connection": "close"}
        return JSONResponse({"error": str(refused)}, status_code=refused.status, headers=headers)
    except ClientDisconnect:
        return Response(status_code=400)


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name) or not name.lower().endswith(ENDINGS):
        raise Refused(
            400,
            f"The name must be letters, digits, '.', '_' or '-' and end in one of {', '.join(ENDINGS)}: ?name=ct.nii.gz",
        )
    return name


async def _room(request: Request, caller: Caller, http: HttpSettings) -> int:
    """Bytes the upload may have."""
    left = await anyio.to_thread.run_sync(lambda: caller.quota.left(anew=True), limiter=WRITERS)
    if left <= 0:
        raise Refused(413, f"Your files take all of the {http.quota_mb} MB you may keep. Delete some.")
    limit = min(http.upload_mb * _MB, left)
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit:
        raise Refused(413, f"{int(announced) // _MB} MB are too many: this upload may have {limit // _MB} MB.")
    return limit


async def _received(chunks: AsyncIterator[bytes], caller: Caller, name: str, limit: int) -> Received:
    """Write the body to disk as it comes, never holding more than a chunk, and hash it on the way.

    Uploads that run side by side share what is left: every so often the disk is asked again.
    """
    folder = caller.files
    part = folder / f".{secrets.token_hex(8)}.part"
    hasher, size, counted = hashlib.sha256(), 0, 0
    try:
        with await anyio.to_thread.run_sync(_made, part, limiter=WRITERS) as file:
            while True:
                with anyio.fail_after(_IDLE_S):
                    chunk = await anext(chunks, None)
                if chunk is None:
                    break
                size += len(chunk)
                if size > limit:
                    raise Refused(413, f"The upload is larger than the {limit // _MB} MB it may have.")
                hasher.update(chunk)
                await anyio.to_thread.run_sync(file.write, chunk, limiter=WRITERS)
                if size - counted > _COUNT_EVERY:
                    counted = size
                    await _still_has_room(caller)
        if size == 0:
            raise Refused(400, "The body is empty. Send the file as the body: curl --data-binary @ct.nii.gz")
        await _still_has_room(caller)
        digest = hasher.hexdigest()
        path = folder / f"{digest[:12]}_{name}"
        is_new = not path.exists()
        part.replace(path)
        return Received(path, digest, size, is_new)
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise Refused(408, f"No byte came for {_IDLE_S:g} s. Send it again.") from None
        raise Refused(507, "The server's disk is full, or cannot be written. Try again when there is room.") from None
    finally:
        part.unlink(missing_ok=True)


def _made(path: Path) -> BinaryIO:
    return open(path, "wb", opener=open_private)


async def _still_has_room(caller: Caller) -> None:
    if await anyio.to_thread.run_sync(lambda: caller.quota.left(anew=True), limiter=WRITERS) < 0:
        raise Refused(413, "Together with your other uploads this one is more than you may keep. Delete some files.")


async def _opened(request: Request, caller: Caller, received: Received) -> Response:
    wanted: dict[str, Any] = {"path": received.path.name}
    tool, option = ("import_mask", "image_id") if "image_id" in request.query_params else ("open_image", "modality")
    if option in request.query_params:
        wanted[option] = request.query_params[option]

    def work() -> Answer:
        refuse_detached(received.path.resolve(), Door((caller.files.resolve(),)))
        return use(caller.desk, tool, **wanted)

    try:
        answer = await anyio.to_thread.run_sync(work, limiter=OPENERS)
    except OstensorError as error:
        raise Refused(_status_of(error), str(error)) from None
    facts = {"path": received.path.name, "sha256": received.sha256, "bytes": received.size}
    return JSONResponse({**facts, **answer.result.model_dump(mode="json")}, status_code=201)


def _status_of(error: OstensorError) -> int:
    if isinstance(error, NoRoom):
        return 413
    return 422 if isinstance(error, BadCall) else 503 if isinstance(error, Unavailable) else 500


def sweep_uploads(store: Path) -> None:
    """Remove what a killed server left of uploads and exports; an upload that goes on is never so old."""
    for folder in (store / "uploads", *store.glob("callers/*/files")):
        sweep(folder)
        for part in folder.glob(".*.part"):
            if time.time() - part.lstat().st_mtime > _ABANDONED_S:
                part.unlink(missing_ok=True)


async def download(request: Request, caller: Caller) -> Response:
    """`GET /files/PATH`: a file of the caller's own folder, such as one `export` wrote."""
    path = _theirs(request, caller)
    try:
        file = await anyio.to_thread.run_sync(_door(caller).open, path, limiter=WRITERS) if path is not None else None
    except (BadCall, OSError, ValueError):
        file = None
    if file is None or path is None:
        return _no_such_file()
    size = os.fstat(file.fileno()).st_size
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Content-Length": str(size),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(path.name)}",
    }
    return StreamingResponse(_pieces(file, size), media_type="application/octet-stream", headers=headers)


async def delete(request: Request, caller: Caller) -> Response:
    """`DELETE /files/PATH`: remove a file of the caller's own folder; what was opened from it stays in the store."""
    path = _theirs(request, caller)
    try:
        if path is not None:
            await anyio.to_thread.run_sync(_door(caller).remove, path, limiter=WRITERS)
            return Response(status_code=204)
    except (BadCall, OSError, ValueError):
        pass
    return _no_such_file()


def _door(caller: Caller) -> Door:
    return Door((caller.files.resolve(),))


def _theirs(request: Request, caller: Caller) -> Path | None:
    """The path asked for, below the caller's folder; links are not followed when it is opened."""
    parts = [part for part in request.path_params["path"].split("/") if part]
    if not parts or any(part in (".", "..") or "\0" in part for part in parts):
        return None
    return caller.files.resolve().joinpath(*parts)


def _no_such_file() -> Response:
    return JSONResponse({"error": "There is no such file of yours."}, status_code=404)


async def _pieces(file: BinaryIO, size: int) -> AsyncIterator[bytes]:
    """The content, as long as it was when the answer began."""
    with file:
        while size > 0:
            piece = await anyio.to_thread.run_sync(file.read, min(_PIECE, size), limiter=WRITERS)
            if not piece:
                return
            size -= len(piece)
            yield piece


async def forget(request: Request, caller: Caller) -> Response:
    """`DELETE /images/IMAGE_ID`: forget an image and its masks; their room is free within the hour."""

    def work() -> None:
        caller.desk.store.remove_image(request.path_params["image_id"])
        caller.desk.store.gc()

    try:
        await anyio.to_thread.run_sync(work, limiter=WRITERS)
    except BadCall as error:
        return JSONResponse({"error": str(error)}, status_code=404)
    return Response(status_code=204)
