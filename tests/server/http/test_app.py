"""The server over HTTP: who may call, what a caller sees, uploads, limits."""

import hashlib
import json
import os
from collections.abc import Iterator

import anyio
import numpy as np
import pytest

from ostensor.server.http.callers import shared_key
from ostensor.server.http.limits import RateLimit
from ostensor.server.http.tokens import TokenFile
from ostensor.store.quota import bytes_kept
from ostensor.tools.desk.desk import Desk

from ...toys.http_toys import Site, scan_bytes, served


@pytest.fixture
def site(desk: Desk) -> Iterator[Site]:
    with served(desk, auth="tokens") as made:
        yield made


@pytest.fixture
def tokens(desk: Desk) -> dict[str, str]:
    file = TokenFile(desk.store.folder)
    who = {"ada": ["core", "clinical"], "ben": ["core"], "language only": ["language"]}
    return {name: file.add(name, toolsets=toolsets, days=1) for name, toolsets in who.items()}


def sent(site: Site, token: str | None, data: bytes, name: str = "ct.nii", **query: str) -> tuple[int, dict]:
    answer = site.request("POST", "/upload", token, params={"name": name, "modality": "ct", **query}, content=data)
    return answer.status_code, answer.json()


def names_of(site: Site, token: str) -> set[str]:
    async def run() -> set[str]:
        async with site.client(token) as client:
            return {tool.name for tool in (await client.list_tools()).tools}

    return anyio.run(run)


def test_an_upload_becomes_an_image_handle_that_tools_take(site: Site, tokens: dict[str, str]) -> None:
    """The expected hash is hashlib's of what was sent."""
    status, made = sent(site, tokens["ada"], scan_bytes())
    assert status == 201, made
    assert made["sha256"] == hashlib.sha256(scan_bytes()).hexdigest()
    assert made["bytes"] == len(scan_bytes())
    assert made["modality"] == "ct"
    found = site.ask(tokens["ada"], "segment", image_id=made["image_id"], structures=["liver"])
    assert found.structured_content["masks"][0]["verdict"] == "present"
    again = site.ask(tokens["ada"], "open_image", path=made["path"], modality="ct")
    assert again.structured_content["image_id"] == made["image_id"]


def test_an_uploaded_mask_lands_on_the_callers_own_image(site: Site, tokens: dict[str, str]) -> None:
    _, scan = sent(site, tokens["ada"], scan_bytes())
    labels = np.zeros((31, 29, 23), np.uint8)
    labels[8:17, 10:19, 5:13] = 1
    status, made = sent(site, tokens["ada"], scan_bytes(labels), "liver.nii", image_id=scan["image_id"])
    assert status == 201, made
    assert [(row["structure"], row["voxels"]) for row in made["masks"]] == [("liver", int(labels.sum()))]
    found = site.ask(tokens["ada"], "measure", mask_ids=[made["masks"][0]["mask_id"]])
    assert found.structured_content["measurements"][0]["structure"] == "liver"
    status, refused = sent(site, tokens["ben"], scan_bytes(labels), "liver.nii", image_id=scan["image_id"])
    assert status == 422
    assert "Unknown image" in refused["error"]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_one_callers_handles_do_not_exist_for_another(site: Site, tokens: dict[str, str], mode: str) -> None:
    _, made = sent(site, tokens["ada"], scan_bytes())
    image = made["image_id"]
    job = site.ask(tokens["ada"], "segment", mode, image_id=image, structures=["liver"])
    mask = job.structured_content["masks"][0]["mask_id"]
    for tool, arguments in (
        ("segment", {"image_id": image, "structures": ["liver"]}),
        ("measure", {"mask_ids": [mask]}),
        ("render", {"image_id": image}),
        ("open_image", {"path": made["path"]}),
        ("get_job", {"job_id": "job_0123456789abcdef"}),
    ):
        refused = site.ask(tokens["ben"], tool, mode, **arguments)
        assert refused.is_error, tool
        assert image not in refused.content[0].text.replace(f"'{image}'", ""), "no hint either"
        assert mask not in refused.content[0].text.replace(f"'{mask}'", "")
    assert not site.ask(tokens["ada"], "measure", mode, mask_ids=[mask]).is_error

    async def resources() -> None:
        async with site.client(tokens["ben"], mode) as client:
            for uri in (f"ostensor://image/{image}", f"ostensor://mask/{mask}"):
                with pytest.raises(Exception, match="Unknown"):
                    await client.read_resource(uri)

    anyio.run(resources)
    assert site.request("GET", f"/files/{made['path']}", tokens["ben"]).status_code == 404
    assert site.request("DELETE", f"/images/{image}", tokens["ben"]).status_code == 404
    own = site.request("GET", f"/files/{made['path']}", tokens["ada"])
    assert own.content == scan_bytes()


def test_scopes_decide_which_tools_exist(site: Site, tokens: dict[str, str]) -> None:
    assert "check_report" in names_of(site, tokens["ada"])
    assert "check_report" not in names_of(site, tokens["ben"])
    refused = site.request(
        "POST",
        "/mcp",
        tokens["ben"],
        headers={"Mcp-Method": "tools/call", "Mcp-Name": "check_report"},
        json={},
    )
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert 'scope="ostensor:clinical"' in refused.headers["www-authenticate"]
    not_offered = site.request("POST", "/mcp", tokens["language only"], json={})
    assert not_offered.status_code == 403


def test_two_tokens_of_one_name_share_what_they_own(site: Site, desk: Desk, tokens: dict[str, str]) -> None:
    second = TokenFile(desk.store.folder).add("ada", toolsets=["core"], days=1)
    _, made = sent(site, tokens["ada"], scan_bytes())
    assert not site.ask(second, "segment", image_id=made["image_id"], structures=["liver"]).is_error
    assert "check_report" not in names_of(site, second)


@pytest.mark.parametrize("token", [None, "wrong", "", "a" * 9000])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/mcp"), ("POST", "/upload"), ("GET", "/files/x"), ("DELETE", "/images/img_1")]
)
def test_nothing_is_answered_without_a_valid_token(site: Site, token: str | None, method: str, path: str) -> None:
    refused = site.request(method, path, token)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer ")


def test_an_expired_or_revoked_token_is_refused(site: Site, desk: Desk, tokens: dict[str, str]) -> None:
    file = TokenFile(desk.store.folder)
    expired = file.add("eve", toolsets=["core"], days=1e-9)
    assert file.tokens()[-1].expires <= int(file.tokens()[-1].expires)
    assert site.request("POST", "/mcp", expired, json={}).status_code in (401, 400)
    row = json.loads(file.path.read_text())
    row[-1]["expires"] -= 5
    file.path.write_text(json.dumps(row))
    assert site.request("POST", "/mcp", expired, json={}).status_code == 401
    assert site.request("POST", "/upload", tokens["ben"]).status_code == 400
    assert file.revoke("ben") == 1
    assert site.request("POST", "/upload", tokens["ben"]).status_code == 401


def test_tokens_are_kept_as_hashes_for_their_owner_alone(desk: Desk, tokens: dict[str, str]) -> None:
    path = TokenFile(desk.store.folder).path
    assert not any(token in path.read_text() for token in tokens.values())
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost:80@evil.example"])
def test_foreign_hosts_and_origins_are_refused_on_every_route(site: Site, tokens: dict[str, str], host: str) -> None:
    for method, path in (("POST", "/mcp"), ("POST", "/upload"), ("GET", "/healthz"), ("GET", "/files/x")):
        assert site.request(method, path, tokens["ada"], headers={"Host": host}).status_code == 421
        origin = {"Origin": f"http://{host}"}
        assert site.request(method, path, tokens["ada"], headers=origin).status_code == 403
    assert site.request("GET", "/healthz").status_code == 200
    own = {"Origin": f"http://127.0.0.1:{site.port}"}
    assert site.request("GET", "/healthz", headers=own).status_code == 200


def test_uploads_are_refused_for_a_reason(desk: Desk, tokens: dict[str, str]) -> None:
    with served(desk, auth="tokens", upload_mb=1) as site:
        ada = tokens["ada"]
        for name in ("../ct.nii", "a/b.nii", ".nii", "ct.exe", "", "x" * 200 + ".nii", "ct\x00.nii"):
            assert sent(site, ada, scan_bytes(), name)[0] == 400, name
        assert sent(site, ada, b"")[0] == 400
        status, said = sent(site, ada, b"no image at all")
        assert status == 422
        assert "ct.nii" in said["error"]
        assert sent(site, ada, scan_bytes(), sha256="0" * 64)[0] == 422
        assert sent(site, ada, scan_bytes(), modality="nonsense")[0] == 422
        assert sent(site, ada, b"0" * 1_000_001)[0] == 413
        endless = site.request("POST", "/upload", ada, params={"name": "a.nii"}, content=iter([b"0" * 600_000] * 2))
        assert endless.status_code == 413, "also without a Content-Length"
    kept = [path for path in (desk.store.folder / "callers").rglob("files/*") if path.is_file()]
    assert kept == []


def test_a_caller_keeps_no_more_than_its_quota_and_can_make_room(desk: Desk, tokens: dict[str, str]) -> None:
    with served(desk, auth="tokens", quota_mb=1) as site:
        noise = np.random.default_rng(7).integers(-1000, 1000, (3, 61, 53, 41), dtype=np.int16)
        statuses = [sent(site, tokens["ada"], scan_bytes(array), f"s{n}.nii")[0] for n, array in enumerate(noise)]
        assert statuses == [201, 413, 413], "each is 265 kB, as much again in the store, and the catalogue has some 200"
        assert sent(site, tokens["ben"], scan_bytes())[0] == 201, "another's quota is its own"
        images = site.ask(tokens["ada"], "open_image", path="s0.nii", modality="ct")
        assert images.is_error, "files are kept by their content"
        for path in (desk.store.folder / "callers").rglob("files/*_s?.nii"):
            assert site.request("DELETE", f"/files/{path.name}", tokens["ada"]).status_code == 204
        assert sent(site, tokens["ada"], scan_bytes(), "s.nii")[0] == 201


def test_too_many_requests_are_told_when_to_come_back(desk: Desk, tokens: dict[str, str]) -> None:
    with served(desk, auth="tokens", per_minute=2) as site:
        assert site.request("POST", "/mcp", tokens["ada"], json={}).status_code == 400
        refused = site.request("POST", "/mcp", tokens["ada"], json={})
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert site.request("POST", "/upload", tokens["ben"]).status_code == 400, "another caller is not held up"
        guesses = [site.request("POST", "/mcp", f"guess{n}").status_code for n in range(2)]
        assert guesses == [401, 429], "guessing tokens is slowed down, too"


def test_a_bucket_is_shared_by_processes_and_fills_with_time(tmp_path) -> None:
    """Two limits over one file stand for two processes; 60 a minute are one a second."""
    time = [1000.0]
    one, two = (RateLimit(tmp_path / "limits", 60, clock=lambda: time[0]) for _ in range(2))
    allowed = [limit.wait_s("ada") == 0 for _ in range(10) for limit in (one, two)]
    assert sum(allowed) == 15
    assert one.wait_s("ben") == 0
    time[0] += 2
    assert [two.wait_s("ada") == 0 for _ in range(3)] == [True, True, False]
    assert one.wait_s("ada") == pytest.approx(1.0)
    time[0] += 60
    one.forget_idle()
    assert two.wait_s("ada") == 0
    one.close()
    two.close()


def test_bytes_kept_counts_files_and_follows_no_link(tmp_path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").write_bytes(b"0" * 1009)
    (tmp_path / "a" / "link").symlink_to("/usr")
    assert bytes_kept(tmp_path) == 1009


def test_the_key_that_processes_share_is_made_once(tmp_path) -> None:
    first = shared_key(tmp_path / "key")
    assert len(first) == 32
    assert shared_key(tmp_path / "key") == first
    assert shared_key(tmp_path / "other") != first
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_without_authentication_everybody_on_this_machine_is_the_operator(desk: Desk) -> None:
    with served(desk) as site:
        opened = site.ask(None, "open_image", path="ct.nii.gz")
        assert opened.structured_content["image_id"] in {record.image_id for record in desk.store.images()}
        status, made = sent(site, None, scan_bytes())
        assert status == 201
        assert not site.ask(None, "segment", image_id=made["image_id"], structures=["liver"]).is_error


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_uploads_exports_keys_and_limits_are_for_the_operator_alone(desk: Desk, tokens: dict[str, str]) -> None:
    """What callers send and get lies in files that no other user of the machine may read, under an open umask, too."""
    before = os.umask(0)
    try:
        with served(desk, auth="tokens") as site:
            _, made = sent(site, tokens["ada"], scan_bytes())
            found = site.ask(tokens["ada"], "segment", image_id=made["image_id"], structures=["liver"])
            mask = found.structured_content["masks"][0]["mask_id"]
            exported = site.ask(tokens["ada"], "export", mask_ids=[mask], format="dicom_seg")
            assert exported.structured_content["smallest_dice"] == 1.0
            paths = [desk.store.folder, *desk.store.folder.rglob("*")]
            readable = [path.name for path in paths if path.lstat().st_mode & 0o077]
    finally:
        os.umask(before)
    assert {made["path"], "limits.sqlite", "http.key", "tokens.json"} <= {path.name for path in paths}
    assert any(path.suffix == ".dcm" for path in paths)
    assert readable == []
