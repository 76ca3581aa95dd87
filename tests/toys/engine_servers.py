"""Servers that speak as nnInteractive's and VoxTell's do, and misbehave as told; the packing is their own, by hand."""

import gzip
import json
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import blosc2
import nibabel
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

KEY = "sekret-of-the-test"
BRIGHT = 150  # what a click marks: everything brighter that is joined to nothing in particular


@dataclass
class Fault:
    """What goes wrong at a path, and how often.

    Attributes:
        kind: see `Site.before` and `Site.after`.
        times: how often; -1 for ever.
    """

    kind: str
    times: int = -1


@dataclass
class Site:
    """A server's state; tests look into it and put faults.

    Attributes:
        faults: path or its first part -> what goes wrong there.
        calls: every request's path, in order.
    """

    faults: dict[str, Fault] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    seen_keys: set[str] = field(default_factory=set)
    port: int = 0
    elsewhere: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def forget(self) -> None:
        """As it was at the start, behind the same port."""
        port = self.port
        type(self).__init__(self)
        self.port = port

    def fault(self, path: str) -> str:
        """The fault due at a path, once counted down."""
        self.calls.append(path)
        due = self.faults.get(path) or self.faults.get(path.split("/")[1])
        if due is None or due.times == 0:
            return ""
        due.times -= 1
        return due.kind

    def before(self, request: Request, kind: str) -> Response | None:
        self.seen_keys.add(request.headers.get("authorization", ""))
        if request.headers.get("authorization") != f"Bearer {KEY}" or kind == "401":
            return JSONResponse({"detail": f"wrong key {request.headers.get('authorization')}"}, 401)
        if kind == "503":
            return JSONResponse({}, 503, headers={"Retry-After": "17"})
        if kind in ("404", "410", "422", "500"):
            return JSONResponse({"detail": "/home/secret/patient.nii"}, int(kind))
        if kind == "redirect":
            return RedirectResponse(self.elsewhere, 307)
        if kind == "no json":
            return Response(b"<html>hello</html>", media_type="text/html")
        if kind == "a list":
            return JSONResponse([1, 2])
        if kind == "nothing in it":
            return JSONResponse({})
        return None


def packed_piece(raw: bytes, size: int) -> bytes:
    packed = blosc2.compress2(raw, typesize=size)
    return struct.pack("<QQ", len(raw), len(packed)) + packed


def read_nnia(body: bytes) -> Any:
    axes, length = body[6], body[7]
    name, shape = body[8 : 8 + length].decode(), struct.unpack_from(f"<{axes}q", body, 8 + length)
    place, raw = 12 + length + 8 * axes, b""
    while place < len(body):
        _plain, size = struct.unpack_from("<QQ", body, place)
        raw += blosc2.decompress2(body[place + 16 : place + 16 + size])
        place += 16 + size
    return np.frombuffer(raw, name).reshape(shape)


def nnia(array: Any) -> bytes:
    name = array.dtype.name.encode()
    head = b"NNIA" + bytes([1, 1, array.ndim, len(name)]) + name + struct.pack(f"<{array.ndim}q", *array.shape)
    return head + struct.pack("<I", 1) + packed_piece(array.tobytes(), array.itemsize)


def vxa2(array: Any) -> bytes:
    name = array.dtype.str.encode()
    head = b"VXA2" + bytes([len(name)]) + name + bytes([array.ndim]) + struct.pack(f"<{array.ndim}Q", *array.shape)
    return head + struct.pack("<Q", array.nbytes) + packed_piece(array.tobytes(), array.itemsize)


def spoilt(kind: str, array: Any, pack: Any) -> bytes:
    """An answer's body, as the fault has it."""
    if kind == "truncated":
        return bytes(pack(array)[:-5])
    if kind == "oversized":
        return bytes(pack(array) + bytes(8 << 20))
    if kind == "other shape":
        return bytes(pack(array[..., :-1].copy()))
    if kind == "garbage":
        return b"\x00garbage" * 9
    return bytes(pack(array))


class Clicking(Site):
    """nnInteractive's: one lease; a click marks the box of `REACH` voxels round it, a negative one clears it."""

    REACH = 2

    def __init__(self) -> None:
        super().__init__()
        self.lease, self.count = "", 0
        self.shape: tuple[int, ...] = ()
        self.image: Any = None
        self.log: list[tuple[Any, bool]] = []
        self.claims = 0
        self.released = 0

    def app(self) -> Starlette:
        paths = ["/claim", "/release", "/set_image", "/set_target_buffer", "/reset_interactions", "/undo", "/add_point_interaction",
                 "/add_bbox_interaction", "/add_scribble_interaction", "/add_lasso_interaction", "/add_initial_seg_interaction"]  # fmt: skip
        return Starlette(routes=[Route("/capabilities", self.capabilities),
                                 *(Route(path, self.answer, methods=["POST"]) for path in paths)])  # fmt: skip

    async def capabilities(self, request: Request) -> Response:
        kinds = {"points": True, "bbox2d": True, "bbox3d": False, "scribble": True, "lasso": True}
        told = {"supported_interactions": kinds, "license": "CC BY-NC-SA 4.0", "inference_session_version": "2.6.0"}
        return self.before(request, self.fault("/capabilities")) or JSONResponse(told)

    async def answer(self, request: Request) -> Response:
        path, body = request.url.path, await request.body()
        kind = self.fault(path)
        if kind == "410":
            self.lease = ""
        if (refused := self.before(request, kind)) is not None:
            return refused
        if path == "/claim":
            self.claims += 1
            self.lease, self.log, self.image = f"lease{self.claims}", [], None
            return JSONResponse({"lease_token": self.lease})
        if request.headers.get("x-lease-token") != self.lease:
            return JSONResponse({}, 410)
        if path == "/set_image":
            self.image, self.log = read_nnia(body), []
            return JSONResponse({})
        if path == "/release":
            self.released += 1
            return JSONResponse({})
        if path == "/set_target_buffer":
            self.shape = tuple(json.loads(body)["shape"])
            return JSONResponse({})
        if path == "/reset_interactions":
            self.log = []
            return JSONResponse({})
        if path == "/undo":
            self.log.pop()
        elif path == "/add_point_interaction":
            told = json.loads(body)
            self.log.append((tuple(told["coordinates"]), told["include_interaction"]))
        elif path == "/add_bbox_interaction":
            told = json.loads(body)
            self.log.append((tuple(map(tuple, told["bbox_coords"])), told["include_interaction"]))
        else:
            told = json.loads(request.headers["x-meta"])
            self.log.append((read_nnia(body) > 0, told.get("include_interaction", True)))
        return self.mask(kind)

    def mask(self, kind: str) -> Response:
        array = drawn(self.shape, self.log)
        bbox = [[0, edge] for edge in self.shape]
        if kind == "outside":
            bbox[0] = [1, self.shape[0] + 1]
        if kind == "negative box":
            bbox[0] = [-3, self.shape[0]]
        meta = {"ran_prediction": True, "bbox": "all" if kind == "odd box" else bbox}
        header = "{no json" if kind == "damaged meta" else json.dumps(meta)
        return Response(spoilt(kind, array, nnia), headers={"X-Meta": header})


def drawn(shape: tuple[int, ...], log: list[tuple[Any, bool]]) -> Any:
    """The mask after these clicks; the slow, obvious version of what `Clicking` does."""
    array = np.zeros(shape, np.uint8)
    for at, positive in log:
        if isinstance(at, np.ndarray):
            array[at] = positive
        elif isinstance(at[0], tuple):
            array[tuple(slice(low, high) for low, high in at)] = positive
        else:
            array[tuple(slice(max(0, one - Clicking.REACH), one + Clicking.REACH + 1) for one in at)] = positive
    return array


class Reading(Site):
    """VoxTell's: words are the names of bands of intensity; a job may be slow until it is called off."""

    WORDS: ClassVar[dict[str, int]] = {"liver": 100, "spleen": 200}

    def __init__(self) -> None:
        super().__init__()
        self.images: dict[str, Any] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.called_off = threading.Event()

    def app(self) -> Starlette:
        return Starlette(routes=[
            Route("/capabilities", self.capabilities), Route("/images", self.take, methods=["POST"]),
            Route("/jobs", self.start, methods=["POST"]), Route("/jobs/{job}/events", self.events),
            Route("/jobs/{job}/result", self.result), Route("/jobs/{job}/cancel", self.cancel, methods=["POST"]),
        ])  # fmt: skip

    async def capabilities(self, request: Request) -> Response:
        told = {"model": "toy", "patch_size": [16, 16, 16], "available_embeddings": list(self.WORDS)}
        return self.before(request, self.fault("/capabilities")) or JSONResponse(told)

    async def take(self, request: Request) -> Response:
        kind, body = self.fault("/images"), await request.body()
        if (refused := self.before(request, kind)) is not None:
            return refused
        image = nibabel.as_closest_canonical(nibabel.Nifti1Image.from_bytes(gzip.decompress(body)))
        array = np.asanyarray(image.dataobj).transpose(2, 1, 0)
        name = f"image{len(self.images) + 1}"
        self.images[name] = array
        shape = [1, 2, 3] if kind == "other shape" else 7 if kind == "odd shape" else list(array.shape)
        meta = {"shape": shape} if kind == "no name" else {"image_id": name, "shape": shape}
        return Response(b"", headers={"X-Meta": json.dumps(meta)})

    async def start(self, request: Request) -> Response:
        kind, told = self.fault("/jobs"), await request.json()
        if (refused := self.before(request, kind)) is not None:
            return refused
        if told["image_id"] not in self.images:
            return JSONResponse({}, 404)
        name = f"job{len(self.jobs) + 1}"
        self.jobs[name] = told
        return JSONResponse({"job_id": name})

    async def events(self, request: Request) -> Response:
        kind = self.fault("/events")
        if (refused := self.before(request, kind)) is not None:
            return refused
        known = all(word in self.WORDS for word in self.jobs[request.path_params["job"]]["prompts"])
        return StreamingResponse(self.told(kind, known), media_type="application/x-ndjson")

    def told(self, kind: str, known: bool) -> Iterator[str]:
        if kind == "no lines":
            yield "hello\n"
        if kind == "odd numbers":
            yield '{"done": "many", "total": "more"}\n{"done": 1e999, "total": 2}\n{"done": 1, "total": -3}\n'
        if kind == "endless line":
            for _ in range(4000):
                if self.called_off.is_set():
                    return
                yield "x" * (1 << 16)
        if kind == "blank":
            yield '\n{"done": 1, "total": 2}\n\n'
        if kind == "ends early":
            yield '{"done": 1, "total": 4}\n'
            return
        if kind == "slow":
            for number in range(600):
                if self.called_off.is_set():
                    yield '{"status": "cancelled"}\n'
                    return
                yield json.dumps({"done": number, "total": 600}) + "\n"
                time.sleep(0.1)
        if kind == "silent":
            self.called_off.wait(60)
        for number in range(1, 5):
            yield json.dumps({"done": number, "total": 4}) + "\n"
        yield json.dumps({"status": "done"} if known else {"status": "error", "message": "/home/secret/patient"}) + "\n"

    async def result(self, request: Request) -> Response:
        kind = self.fault("/result")
        if (refused := self.before(request, kind)) is not None:
            return refused
        job = self.jobs[request.path_params["job"]]
        array = self.images[job["image_id"]].astype(float)
        masks = np.stack([np.abs(array - self.WORDS[word]) < 20 for word in job["prompts"]]).astype(np.uint8)
        return Response(spoilt(kind, masks, vxa2))

    async def cancel(self, request: Request) -> Response:
        refused = self.before(request, self.fault("/cancel"))
        self.called_off.set()
        return refused or JSONResponse({})


@contextmanager
def served(site: Any) -> Iterator[Any]:
    """The site behind a port of this machine, in a thread."""
    server = uvicorn.Server(
        uvicorn.Config(site.app(), port=0, log_config=None, http="h11", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    site.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        if hasattr(site, "called_off"):
            site.called_off.set()
        server.should_exit = True
        thread.join(10)
