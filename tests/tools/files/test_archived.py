"""Archives through the tools: Debian's Orthanc where it is installed, and a small server with faults everywhere.

Expected voxels come from pydicom's own reading of the files that were put into the archive.
"""

import json
import logging
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pydicom
import pytest
from mcp import Client

from ostensor.imaging.errors import BadCall, OstensorError, Unavailable
from ostensor.imaging.volume import Mask
from ostensor.server.mcp.server import build_server
from ostensor.store.archives import web
from ostensor.store.archives.nodes import ArchiveAccess, Node, write_nodes
from ostensor.tools.desk.desk import Call, Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.files.archived import downloaded, list_series
from ostensor.tools.running import run_named, use

from ...imaging import made_dicom
from ...toys.archive_server import TOKEN, ArchiveServer, running_archive
from ...toys.desks import Ask
from ...toys.orthanc import PASSWORD, USER, Orthanc, running_orthanc

KEYS = {"TOY_TOKEN": TOKEN, "ORTHANC_PASSWORD": PASSWORD}
ACCESSION = "ACC-90210"
PRIVATE = (*made_dicom.SECRETS[:5], "Secret", "20210304", ACCESSION)
SLICES = 7


def scan(series: int = 2, **changes: Any) -> list[pydicom.Dataset]:
    """A CT series of one patient; its description names him, as some do."""
    told = {
        "AccessionNumber": ACCESSION, "StudyDate": "20210304", "StudyTime": "101010", "StudyID": "1",
        "StudyDescription": "CT ABDOMEN Secret", "SeriesDescription": "AX thin venous Secret", "SeriesNumber": series,
        "SeriesInstanceUID": f"1.2.840.999.{series}", "FrameOfReferenceUID": "1.2.840.999.77",
        "PatientSex": "M",
    }  # fmt: skip
    return [made_dicom.ct_slice(3.0 * n, value=11 * n, **{**told, **changes}) for n in range(SLICES)]


def voxels(slices: list[pydicom.Dataset]) -> np.ndarray:
    """(x y z) in HU as pydicom reads each, by height."""
    ordered = sorted(slices, key=lambda one: float(one.ImagePositionPatient[2]))
    return np.stack([one.pixel_array.T.astype(int) - 1024 for one in ordered], axis=-1)


@dataclass(frozen=True)
class Place:
    """An archive with one scan of two series in it."""

    address: str
    scan: list[pydicom.Dataset]
    count: Callable[[], int]


def configure(settings: Settings, *nodes: Node) -> Settings:
    file = settings.store.parent / "archives.toml"
    write_nodes(file, {node.name: node for node in nodes})
    return replace(settings, archives=ArchiveAccess(file, KEYS.get))


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        folder = tmp_path_factory.mktemp("put")
        for number, one in enumerate([*scan(), *scan(3, SeriesDescription="COR lung", SeriesNumber=3)]):
            one.save_as(folder / f"{number}.dcm", enforce_file_format=True)
            server.upload(folder / f"{number}.dcm")
        yield server


@pytest.fixture
def toy() -> Iterator[ArchiveServer]:
    with running_archive() as server:
        server.add(*scan(), *scan(3, SeriesDescription="COR lung"))
        yield server


def toy_node(server: ArchiveServer, **changes: Any) -> Node:
    return Node(
        **{"name": "toy", "kind": "dicomweb", "url": server.url, "token_env": "TOY_TOKEN", "may_store": True, **changes}
    )


@pytest.fixture(params=["toy", "orthanc", "dimse"])
def place(request: pytest.FixtureRequest, settings: Settings) -> Iterator[tuple[Desk, Place]]:
    """A desk with an archive of each kind."""
    if request.param == "toy":
        server = request.getfixturevalue("toy")
        node, count = toy_node(server), lambda: len(server.files)
    else:
        server = request.getfixturevalue("orthanc")
        count = server.count
        node = Node("pacs", "dicomweb", server.url, user=USER, password_env="ORTHANC_PASSWORD", may_store=True)
        if request.param == "dimse":
            pytest.importorskip("pynetdicom", reason="needs pynetdicom: pip install 'ostensor[archive]'")
            node = Node("pacs", "dimse", host="127.0.0.1", port=server.port, aet="ORTHANC", may_store=True)
    with Desk(configure(settings, node)) as desk:
        yield desk, Place(node.address, scan(), count)


def rows(desk: Desk, root: str, **options: Any) -> list[dict[str, Any]]:
    return use(desk, "list_files", root=root, **options).result.files


def series_path(desk: Desk, address: str, words: str = "ax thin venous") -> str:
    (study,) = rows(desk, address)
    (path,) = [row["path"] for row in rows(desk, study["path"]) if row.get("description") == words]
    return path


def test_a_series_is_found_opened_and_gone_from_the_disk(place: tuple[Desk, Place]) -> None:
    desk, archive = place
    (study,) = rows(desk, archive.address)
    told = {"kind": "study", "modality": "CT", "year": "2021", "description": "ct abdomen"}
    assert told.items() <= study.items()
    listed = rows(desk, study["path"])
    images = [row for row in listed if row["modality"] == "CT"]
    assert [(row["description"], row["instances"]) for row in images] == [("ax thin venous", 7), ("cor lung", 7)]
    opened = use(desk, "open_image", path=images[0]["path"]).result
    assert opened.format == "dicom"
    assert opened.modality == "ct"
    np.testing.assert_array_equal(
        np.sort(np.asarray(desk.store.volume(opened.image_id).array), axis=None),
        np.sort(voxels(archive.scan), axis=None),
    )
    source = desk.store.sources.get(opened.image_id)
    assert source is not None
    assert str(source.header.PatientID) == "4711"
    assert not list((desk.settings.store / "archives" / "downloads").iterdir())


def test_a_series_from_an_archive_is_the_one_from_a_folder(place: tuple[Desk, Place], root: Path) -> None:
    """The same voxels in the same order at the same place; the folder's own reading is tested elsewhere."""
    desk, archive = place
    made_dicom.save(root / "ct", archive.scan)
    one = use(desk, "open_image", path=series_path(desk, archive.address)).result
    other = use(desk, "open_image", path="ct").result
    known = [desk.store.image(each.image_id) for each in (one, other)]
    assert known[0].content_hash == known[1].content_hash
    np.testing.assert_allclose(known[0].grid.affine, known[1].grid.affine)


def test_a_study_of_several_series_is_listed_to_choose_from(place: tuple[Desk, Place]) -> None:
    desk, archive = place
    (study,) = rows(desk, archive.address)
    answer = use(desk, "open_image", path=study["path"])
    assert answer.result.image_id is None
    assert len([row for row in answer.result.files if row["modality"] == "CT"]) == 2
    assert f"open_image(path='{answer.result.files[0]['path']}')" in answer.text


def test_studies_are_filtered_by_modality_day_patient_and_words(place: tuple[Desk, Place]) -> None:
    desk, archive = place

    def found(query: str = "", **options: Any) -> int:
        return len(rows(desk, f"{archive.address}{query}", **options))

    assert found("?modality=CT") == found("?since=2021-03-04&until=2021-03-04") == found("?patient=4711") == 1
    assert (
        found("?modality=MR") == found("?since=2021-03-05") == found("?patient=4712") == found("?until=2021-03-03") == 0
    )
    assert found(pattern="abdomen") == found(pattern="*ABDOM*") == 1
    assert found(pattern="pelvis") == 0
    assert found("?offset=1") == 0


def segmented(desk: Desk, path: str, top: int = 5) -> tuple[str, str]:
    image_id = use(desk, "open_image", path=path).result.image_id
    volume = desk.store.volume(image_id)
    inside = np.zeros(volume.grid.shape, bool)
    inside[1:4, 1:5, 2:top] = True
    inside[1, 1, 2] = False
    return image_id, desk.store.add_mask(Mask(inside, volume.grid), image_id=image_id, structure="liver").mask_id


def test_a_result_is_stored_in_the_study_of_its_scan_and_comes_back_as_it_was(place: tuple[Desk, Place]) -> None:
    desk, archive = place
    top = 6 if archive.address.startswith("dimse") else 5  # the same mask of the same scan would be the same object
    image_id, mask_id = segmented(desk, series_path(desk, archive.address), top)
    before = archive.count()
    answer = use(desk, "export", mask_ids=[mask_id], folder=archive.address, format="dicom_seg")
    (row,) = answer.result.files
    assert archive.count() == before + 1
    assert answer.text.startswith("Stored 1 mask in 1 DICOM object, each read back")
    assert row.path.startswith(f"{archive.address}/study_")
    listed = {one["path"]: one for one in rows(desk, row.path.rpartition("/")[0])}
    assert listed[row.path]["use"] == "import_mask"
    back = use(desk, "import_mask", path=row.path, image_id=image_id).result.masks
    assert [one.structure for one in back] == ["liver"]
    np.testing.assert_array_equal(desk.store.mask(back[0].mask_id).array, desk.store.mask(mask_id).array)


def test_structure_sets_are_stored_too(place: tuple[Desk, Place]) -> None:
    desk, archive = place
    _, mask_id = segmented(desk, series_path(desk, archive.address))
    (row,) = use(desk, "export", mask_ids=[mask_id], folder=archive.address, format="rtstruct").result.files
    (stored,) = [one for one in rows(desk, row.path.rpartition("/")[0]) if one["path"] == row.path]
    assert stored["modality"] == "RTSTRUCT"


def test_nothing_names_the_patient(
    place: tuple[Desk, Place], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every answer, error, log line at any level, printed line and audit line of a walk through an archive."""
    desk, archive = place
    caplog.set_level(logging.DEBUG)
    said: list[str] = []

    def tell(tool: str, **arguments: Any) -> Any:
        try:
            answer = use(desk, tool, **arguments)
        except OstensorError as error:
            said.append(str(error))
            return None
        said.extend((answer.text, answer.result.model_dump_json()))
        return answer.result

    tell("list_files")
    tell("list_files", root=f"{archive.address}?patient=4711&since=2021-01-01")
    tell("list_files", root=f"{archive.address}?patient=4711&nonsense=Secret")
    study = tell("list_files", root=archive.address).files[0]["path"]
    tell("list_files", root=study)
    tell("open_image", path=study)
    tell("open_image", path=f"{archive.address}/1.2.3.4/5.6.7")
    tell("open_image", path=f"{archive.address}/Secret^Name")
    _, mask_id = segmented(desk, series_path(desk, archive.address))
    tell("export", mask_ids=[mask_id], folder=archive.address, format="dicom_seg")
    tell("export", mask_ids=[mask_id], folder=archive.address, format="nifti")
    logged = [record.getMessage() for record in caplog.records]
    printed = capfd.readouterr()
    audit = (desk.settings.store / "audit.jsonl").read_text(encoding="utf-8")
    everything = "\n".join([*said, *logged, printed.out, printed.err, audit])
    given = ("Secret^Name", "Secret")  # what this test itself wrote into a call stands in the audit log
    assert [one for one in PRIVATE if one not in given and one in everything] == []
    assert [one for one in PRIVATE if one in "\n".join([*said, *logged, printed.out, printed.err])] == []
    assert KEYS["TOY_TOKEN"] not in everything
    assert PASSWORD not in everything


def test_what_is_kept_is_for_its_owner_alone(toy: ArchiveServer, settings: Settings) -> None:
    with Desk(configure(settings, toy_node(toy))) as desk:
        use(desk, "open_image", path=series_path(desk, "dicomweb://toy"))
        kept = [path for path in (desk.settings.store / "archives").rglob("*")]
        assert kept
        assert [path for path in kept if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


# What goes wrong, and what the error says; every one is said within seconds.
FAULTS = [
    ("search", "401", Unavailable, r"refuses access \(401\).*TOY_TOKEN"),
    ("search", "403", Unavailable, r"refuses access \(403\).*TOY_TOKEN"),
    ("search", "404", Unavailable, r"no such service \(404\).*archives check toy"),
    ("search", "503", Unavailable, r"busy or down for now \(503\).*in a minute"),
    ("search", "500", Unavailable, r"failed \(500\)"),
    ("search", "page", Unavailable, r"answered text/html where application/dicom\+json"),
    ("search", "no json", Unavailable, "JSON that cannot be read"),
    ("search", "no list", Unavailable, "no list of DICOM data sets"),
    ("search", "to http://127.0.0.2:9/", Unavailable, "another host.*Nothing was sent"),
    ("search", "to https://127.0.0.1/", Unavailable, "another host"),
    ("search", "to //evil.example/", Unavailable, "another host"),
    ("fetch", "404", BadCall, r"no such series \(404\)"),
    ("fetch", "503", Unavailable, "busy or down"),
    ("fetch", "page", Unavailable, "answered text/html where DICOM files"),
    ("fetch", "truncated", Unavailable, "ended the connection before its answer was complete"),
    ("fetch", "cut cleanly", Unavailable, "ended before it was complete"),
    ("fetch", "one too few", Unavailable, "sent 6 of the 7 instances"),
    ("fetch", "no dicom", Unavailable, "a part that is no DICOM file"),
    ("fetch", "another", Unavailable, "another study or series than were asked for"),
    ("fetch", "to http://127.0.0.2:9/", Unavailable, "another host"),
    ("store", "503", Unavailable, "busy or down"),
    ("store", "413", BadCall, "nothing that large"),
    ("store", "refuses", Unavailable, r"stored 0 of 1 objects \(DICOM status A700H\)"),
    ("store", "page", Unavailable, "answered text/html"),
    ("store", "to http://127.0.0.2:9/", Unavailable, r"does not take this request \(307\)"),
]


@pytest.mark.parametrize(("what", "fault", "kind", "words"), FAULTS, ids=[f"{one[0]}-{one[1]}" for one in FAULTS])
def test_every_fault_is_told_with_what_to_do(
    what: str, fault: str, kind: type[OstensorError], words: str, toy: ArchiveServer, settings: Settings
) -> None:
    with Desk(configure(settings, toy_node(toy))) as desk:
        path = series_path(desk, "dicomweb://toy")
        mask_id = segmented(desk, path)[1] if what == "store" else ""
        toy.faults[what] = fault
        begun = time.monotonic()
        calls: dict[str, tuple[str, dict[str, Any]]] = {
            "search": ("list_files", {"root": "dicomweb://toy"}),
            "fetch": ("open_image", {"path": path}),
            "store": ("export", {"mask_ids": [mask_id], "folder": "dicomweb://toy", "format": "dicom_seg"}),
        }
        tool, arguments = calls[what]
        with pytest.raises(kind, match=words) as told:
            use(desk, tool, **arguments)
        assert time.monotonic() - begun < 10
        assert "Secret" not in str(told.value)
        assert not list((desk.settings.store / "archives" / "downloads").glob("*"))


def test_an_archive_that_falls_silent_is_given_up(
    toy: ArchiveServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "READ_S", 0.5)
    toy.faults["search"] = "silent"
    with Desk(configure(settings, toy_node(toy))) as desk, pytest.raises(Unavailable, match="stopped answering"):
        use(desk, "list_files", root="dicomweb://toy")


def test_no_proxy_of_the_environment_learns_of_it(
    toy: ArchiveServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Desk(configure(settings, toy_node(toy))) as desk:
        assert len(rows(desk, "dicomweb://toy")) == 1


def test_a_redirect_within_the_host_is_followed(toy: ArchiveServer, settings: Settings) -> None:
    node = toy_node(toy, url=f"{toy.rest}/elsewhere/dicom-web")
    with Desk(configure(settings, node)) as desk:
        assert len(rows(desk, "dicomweb://toy")) == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/dicom-web", "connection refused"),
        ("https://nowhere.invalid/dicom-web", "not known to this machine's DNS|cannot be reached"),
    ],
)
def test_an_archive_that_is_not_there_is_told_at_once(url: str, words: str, settings: Settings) -> None:
    with Desk(configure(settings, Node("gone", "dicomweb", url))) as desk:
        begun = time.monotonic()
        with pytest.raises(Unavailable, match=words):
            use(desk, "list_files", root="dicomweb://gone")
        assert time.monotonic() - begun < 10


def test_a_server_without_tls_is_told(toy: ArchiveServer, settings: Settings) -> None:
    node = toy_node(toy, url=toy.url.replace("http:", "https:"))
    with Desk(configure(settings, node)) as desk, pytest.raises(Unavailable, match="speaks no TLS"):
        use(desk, "list_files", root="dicomweb://toy")


def test_a_key_that_is_not_set_is_named_and_nothing_is_asked(toy: ArchiveServer, settings: Settings) -> None:
    with (
        Desk(configure(settings, toy_node(toy, token_env="NOT_SET"))) as desk,
        pytest.raises(Unavailable, match="NOT_SET, which holds the key of 'toy', is not set"),
    ):
        use(desk, "list_files", root="dicomweb://toy")
    assert toy.asked == []


def test_a_wrong_key_is_told_by_its_variable(toy: ArchiveServer, settings: Settings) -> None:
    with (
        Desk(configure(settings, toy_node(toy, token_env="ORTHANC_PASSWORD"))) as desk,
        pytest.raises(Unavailable, match=r"refuses access \(401\).*ORTHANC_PASSWORD"),
    ):
        use(desk, "list_files", root="dicomweb://toy")


def test_a_series_larger_than_allowed_is_refused_on_the_way(toy: ArchiveServer, settings: Settings) -> None:
    with Desk(configure(settings, toy_node(toy, most_gb=2e-6))) as desk:
        with pytest.raises(BadCall, match="larger than 2e-06 GB"):
            use(desk, "open_image", path=series_path(desk, "dicomweb://toy"))
        assert not list((desk.settings.store / "archives" / "downloads").iterdir())


def test_a_download_reports_its_progress_and_can_be_cancelled(toy: ArchiveServer, settings: Settings) -> None:
    """The archive stops in the middle; the caller leaves; the call ends and nothing stays."""
    toy.faults["fetch"] = "slow"
    with Desk(configure(settings, toy_node(toy))) as desk:
        path = series_path(desk, "dicomweb://toy")
        half, cancelled, told = threading.Event(), threading.Event(), list[tuple[float, str]]()

        def report(share: float, message: str) -> None:
            told.append((share, message))
            if "instance 3 of 7" in message:
                half.set()

        failed: list[BaseException] = []

        def work() -> None:
            try:
                run_named(desk, Call(report=report, cancelled=cancelled), "open_image", {"path": path})
            except OstensorError as error:
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        assert half.wait(20)
        assert len(list((desk.settings.store / "archives" / "downloads").iterdir())) == 1
        cancelled.set()
        thread.join(5)
        assert not thread.is_alive()
        assert "was cancelled" in str(failed[0])
        assert [type(one) for one in failed] == [Unavailable]
        shares = [share for share, _ in told]
        assert shares == sorted(shares)
        assert max(shares) < 0.7
        assert not list((desk.settings.store / "archives" / "downloads").iterdir())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"path": "dicomweb://other/1.2.3/4.5.6"}, "No archive 'other' is configured. Configured: dicomweb://toy"),
        ({"path": "dimse://toy/1.2.3/4.5.6"}, "kind dicomweb. Write dicomweb://toy"),
        ({"path": "dicomweb://127.0.0.1:8042/1.2.3"}, "Archives are named, never given as host or url"),
        ({"path": "dicomweb://user:key@toy/1.2.3"}, "Archives are named"),
        ({"path": "dicomweb://toy"}, "names no study"),
        ({"path": "dicomweb://toy/study_0123456789ab"}, "No study is known as 'study_0123456789ab'"),
        ({"path": "dicomweb://toy/../../etc"}, "neither an alias"),
        ({"path": "dicomweb://toy/1.2.3/4.5.6/7"}, "as far as a series"),
        ({"path": "dicomweb://toy/1.2.3.4"}, "has no such study"),
        ({"path": "http://toy/studies"}, "Only files of this machine"),
        ({"path": "fhir://toy/Patient/1"}, "kind dicomweb"),
    ],
)
def test_addresses_that_mean_nothing_are_refused(
    call: dict[str, str], words: str, toy: ArchiveServer, settings: Settings
) -> None:
    with Desk(configure(settings, toy_node(toy))) as desk, pytest.raises(BadCall, match=words):
        use(desk, "open_image", **call)


def test_results_are_stored_only_where_it_is_allowed_and_of_scans_that_are_there(
    toy: ArchiveServer, settings: Settings, root: Path
) -> None:
    with Desk(configure(settings, toy_node(toy), toy_node(toy, name="read-only", may_store=False))) as desk:
        _, mask_id = segmented(desk, series_path(desk, "dicomweb://toy"))
        _, of_file = segmented(desk, "ct.nii.gz")
        made_dicom.save(root / "other", scan(StudyInstanceUID="1.2.840.999.55"))
        _, of_other = segmented(desk, "other")
        before = len(toy.files)
        for masks, folder, format, words in (
            ([mask_id], "dicomweb://read-only", "dicom_seg", "read-only here.*--may-store"),
            ([mask_id], "dicomweb://toy", "nifti", "takes no nifti"),
            ([mask_id], "dicomweb://toy/1.2.3", "dicom_seg", "Write folder='dicomweb://toy'"),
            ([of_file], "dicomweb://toy", "dicom_seg", "was no DICOM scan"),
            ([of_other], "dicomweb://toy", "dicom_seg", "does not hold the study"),
        ):
            with pytest.raises(BadCall, match=words):
                use(desk, "export", mask_ids=masks, folder=folder, format=format)
        assert len(toy.files) == before


def test_a_person_is_asked_before_anything_is_stored(toy: ArchiveServer, settings: Settings) -> None:
    from mcp_types import ElicitRequestParams, ElicitResult

    asked: list[str] = []

    async def answer(context: Any, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"approved": False})

    async def call(desk: Desk, mask_id: str) -> Any:
        async with Client(build_server(desk), elicitation_callback=answer) as client:
            return await client.call_tool(
                "export", {"mask_ids": [mask_id], "folder": "dicomweb://toy", "format": "dicom_seg"}
            )

    with Desk(configure(settings, toy_node(toy))) as desk:
        _, mask_id = segmented(desk, series_path(desk, "dicomweb://toy"))
        before = len(toy.files)
        reply = anyio.run(call, desk, mask_id)
        assert reply.is_error
        assert asked == ["Store 1 mask as dicom_seg of 1 scan in the archive 'toy'? It cannot be undone from here."]
        assert len(toy.files) == before


def test_more_studies_than_fit_are_paged(toy: ArchiveServer, settings: Settings) -> None:
    toy.files.clear()
    for number in range(5):
        toy.add(
            *scan(
                StudyInstanceUID=f"1.2.840.999.{100 + number}",
                StudyDate=f"2021{number + 1:02d}11",
                SeriesInstanceUID=f"1.2.840.999.{200 + number}",
            )[:1]
        )
    with Desk(configure(settings, toy_node(toy))) as desk:
        first = use(desk, "list_files", root="dicomweb://toy?modality=CT", limit=2)
        second = use(desk, "list_files", root="dicomweb://toy?modality=CT&offset=2", limit=2)
        last = use(desk, "list_files", root="dicomweb://toy?modality=CT&offset=4", limit=2)
        assert (first.result.more, second.result.more, last.result.more) == (3, 1, 0)
        assert "offset=2" in first.text
        paths = [row["path"] for answer in (first, second, last) for row in answer.result.files]
        newest = desk.archives.aliases.name("study", [f"1.2.840.999.{100 + number}" for number in (4, 3, 2, 1, 0)])
        assert paths == [f"dicomweb://toy/{alias}" for alias in newest]


def test_without_archives_nothing_changes(ask: Ask) -> None:
    reply = ask("list_files")
    assert reply.result["roots"] == ["scans"]
    wrong = ask("open_image", path="dicomweb://pacs/1.2.3")
    assert wrong.is_error
    assert "No archive 'pacs' is configured. None is." in wrong.text


def test_configured_archives_are_told(toy: ArchiveServer, settings: Settings) -> None:
    with Desk(configure(settings, toy_node(toy))) as desk:
        answer = use(desk, "list_files")
        assert answer.result.roots == ["scans", "dicomweb://toy"]
        assert "dicomweb://toy" in answer.text


def test_where_a_package_is_missing_it_is_named(
    toy: ArchiveServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    dimse = Node("old", "dimse", host="127.0.0.1", port=4242, aet="PACS")
    with Desk(configure(settings, toy_node(toy), dimse)) as desk:
        for package, root in (("httpx", "dicomweb://toy"), ("pynetdicom", "dimse://old")):
            monkeypatch.setitem(sys.modules, package, None)
            with pytest.raises(Unavailable, match=rf"needs the package {package}.*pip install 'ostensor\[archive\]'"):
                use(desk, "list_files", root=root)


def test_a_file_of_archives_that_is_wrong_leaves_the_roots_alone(settings: Settings) -> None:
    file = settings.store.parent / "archives.toml"
    file.write_text("[archives.x]\nkind = 'ftp'", encoding="utf-8")
    with Desk(replace(settings, archives=ArchiveAccess(file))) as desk:
        answer = use(desk, "list_files")
        assert [row["path"] for row in answer.result.files] == ["ct.nii.gz"]
        assert "No archive can be named: The archive 'x' is of kind 'ftp'" in answer.text
        with pytest.raises(BadCall, match="is of kind 'ftp'"):
            use(desk, "open_image", path="dicomweb://x/1.2.3")


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80"])
@pytest.mark.parametrize("kind", ["dicomweb", "dimse"])
def test_compressed_series_come_as_they_are_stored(
    kind: str, syntax: str, orthanc: Orthanc, settings: Settings, tmp_path: Path
) -> None:
    """RLE and JPEG-LS; the voxels are those that were compressed."""
    if kind == "dimse":
        pytest.importorskip("pynetdicom", reason="needs pynetdicom: pip install 'ostensor[archive]'")
    number = f"{syntax.rpartition('.')[2]}{len(kind)}"
    uids = {"StudyInstanceUID": f"1.2.840.999.900{number}", "SeriesInstanceUID": f"1.2.840.999.901{number}"}
    slices = scan(PatientID="4713", **uids)
    wanted = voxels(slices)
    for place, one in enumerate(slices):
        one.compress(syntax, encoding_plugin="pyjpegls" if syntax.endswith("80") else "pydicom")
        one.save_as(tmp_path / f"{place}.dcm", enforce_file_format=True)
        orthanc.upload(tmp_path / f"{place}.dcm")
    web_node = Node("pacs", "dicomweb", orthanc.url, user=USER, password_env="ORTHANC_PASSWORD")
    old_node = Node("pacs", "dimse", host="127.0.0.1", port=orthanc.port, aet="ORTHANC")
    with Desk(configure(settings, web_node if kind == "dicomweb" else old_node)) as desk:
        listed = list_series(desk, f"{kind}://pacs/{uids['StudyInstanceUID']}")
        with downloaded(desk, Call(), listed) as folder:
            assert {str(pydicom.dcmread(file).file_meta.TransferSyntaxUID) for file in folder.iterdir()} == {syntax}
        opened = use(desk, "open_image", path=f"{kind}://pacs/{uids['StudyInstanceUID']}").result
        found = np.asarray(desk.store.volume(opened.image_id).array)
        assert found.shape == wanted.shape
        np.testing.assert_array_equal(np.sort(found, axis=None), np.sort(wanted, axis=None))


def test_what_was_stored_before_a_refusal_is_told(toy: ArchiveServer, settings: Settings) -> None:
    other = scan(
        StudyInstanceUID="1.2.840.999.55", SeriesInstanceUID="1.2.840.999.56", FrameOfReferenceUID="1.2.840.999.57"
    )
    toy.add(*other)
    toy.faults["store studies"] = "1.2.840.999.55"
    with Desk(configure(settings, toy_node(toy))) as desk:
        masks = [
            segmented(desk, f"dicomweb://toy/{uids}")[1]
            for uids in ("1.2.840.999.1/1.2.840.999.2", "1.2.840.999.55/1.2.840.999.56")
        ]
        with pytest.raises(
            Unavailable, match=r"stored 0 of 1 objects.* 1 objects of other studies were stored before it"
        ):
            use(desk, "export", mask_ids=masks, folder="dicomweb://toy", format="dicom_seg")


def test_the_recorded_call_says_no_patient(toy: ArchiveServer, settings: Settings) -> None:
    with Desk(configure(settings, toy_node(toy))) as desk:
        use(desk, "list_files", root="dicomweb://toy?modality=CT&patient=4711")
        (line,) = (desk.settings.store / "audit.jsonl").read_text(encoding="utf-8").splitlines()
        assert json.loads(line)["arguments"]["root"] == "dicomweb://toy?modality=CT&patient=…"
