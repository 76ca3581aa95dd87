"""What the files of deploy/ tell programs to do is something these programs can do: options, settings, variables, secrets."""

import json
import os
import re
import shlex
import stat
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from ostensor.commands.app import app
from ostensor.server.http.settings import http_settings
from ostensor.store.archives.nodes import read_nodes

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = ("compose.yaml", "compose.cuda.yaml", "compose.bucket.yaml")
UsageError = typer.BadParameter.__mro__[1]  # what its parser raises; typer brings a click of its own
OURS = {"OSTENSOR_CATALOGUE", "OSTENSOR_ARRAYS", "OSTENSOR_SHARED"}  # read by commands/sharing.py


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def words_of_files() -> Iterator[tuple[str, list[str]]]:
    """Every call of `ostensor` in deploy/ and its page, without the program's name."""
    for name in COMPOSE:
        command = read(name)["services"]["ostensor"].get("command")
        if command:
            yield name, command
    for document in yaml.safe_load_all((DEPLOY / "base/kubernetes/servers.yaml").read_text(encoding="utf-8")):
        for container in document["spec"].get("template", {}).get("spec", {}).get("containers", ()):
            if container["name"] == "ostensor":
                yield "servers.yaml", container["args"]
    docker = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    yield "Dockerfile", json.loads(re.findall(r"^CMD (\[.*\])$", docker, re.MULTILINE)[0])
    for file in (*(DEPLOY / name for name in COMPOSE), DEPLOY / "base/kustomization.yaml", ROOT / "docs/deploy.md"):
        for line in file.read_text(encoding="utf-8").splitlines():
            found = re.search(r"(?:entrypoint\.sh|^ {4}ostensor) ([a-z].*?)(?:  +#.*)?$", line)
            if found:
                yield f"{file.name}: {line.strip()}", shlex.split(found[1], comments=True)


CALLS = list(words_of_files())


def parsed(words: list[str]) -> None:
    """Walk down to the command and let it read its options, without running it."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name, *words = words
        assert name in command.commands, f"no command '{name}'"
        command = command.commands[name]
    command.make_context("ostensor", list(words))


@pytest.mark.parametrize(("where", "words"), CALLS, ids=[where[:60] for where, _ in CALLS])
def test_every_call_is_one_the_program_takes(where: str, words: list[str]) -> None:
    parsed(words)


def test_there_are_calls_and_a_wrong_one_is_noticed() -> None:
    assert len(CALLS) >= 6
    for words in (["serve", "--htp=1"], ["serve", "--device"], ["sreve"], ["serve", "--log-format=xml"]):
        with pytest.raises((UsageError, AssertionError)):
            parsed(words)


def test_every_server_in_a_container_asks_for_tokens_and_is_reached_through_its_proxy_alone() -> None:
    for where, words in CALLS:
        if words[0] == "serve":
            said = " ".join(words).replace("=", " ")
            assert "--http 127.0.0.1:8765 --auth tokens" in said, where


def test_settings_are_those_of_the_server_and_fit_the_proxy() -> None:
    values = tomllib.loads((DEPLOY / "base/http.toml").read_text(encoding="utf-8"))
    http = http_settings("127.0.0.1:8765", DEPLOY / "base/http.toml", auth="tokens")
    assert http.metrics
    door = (DEPLOY / "base/nginx/tls.conf").read_text(encoding="utf-8")
    assert f"client_max_body_size {values['upload_mb'] // 1024}g;" in door
    host = http.public_url.removeprefix("https://").split("/")[0]
    for file in ("base/nginx/tls.conf", "base/nginx/plain.conf", "base/kubernetes/ingress.yaml", "secrets/make.sh"):
        assert host in (DEPLOY / file).read_text(encoding="utf-8"), file
    grace = int(read("compose.yaml")["services"]["ostensor"]["stop_grace_period"].removesuffix("s"))
    assert grace > http.drain_s + 10


def test_archives_are_read_and_their_keys_are_secrets() -> None:
    nodes = read_nodes(DEPLOY / "archives.toml")
    secrets = {one["target"] for one in read("compose.yaml")["services"]["ostensor"]["secrets"]}
    assert {node.password_env for node in nodes.values()} <= secrets
    orthanc = json.loads((DEPLOY / "orthanc/orthanc.json").read_text(encoding="utf-8"))
    (node,) = nodes.values()
    assert node.url.endswith(f":{orthanc['HttpPort']}{orthanc['DicomWeb']['Root'].rstrip('/')}")
    assert orthanc["AuthenticationEnabled"]


def test_no_password_stands_in_a_variable() -> None:
    for name in COMPOSE:
        for service, facts in read(name)["services"].items():
            for variable, value in facts.get("environment", {}).items():
                known = not variable.startswith("OSTENSOR_") or variable in OURS
                assert known, f"{service}: nobody reads {variable}"
                secret = re.search("PASSWORD|SECRET|TOKEN|KEY", variable)
                assert not secret or variable.endswith("_FILE"), f"{service}: {variable}"
                assert not re.search(r"//[^/@]*:[^/@]*@", str(value)), f"{service}: {variable} holds a password"


def test_containers_run_with_little_and_on_a_read_only_disk() -> None:
    for service, facts in read("compose.yaml")["services"].items():
        assert facts["read_only"] is True, service
        assert facts["cap_drop"] == ["ALL"], service
        assert facts["security_opt"] == ["no-new-privileges:true"], service
    docker = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    run = docker.index("\nUSER 10001:10001")
    assert docker.index("FROM base AS run") < run < docker.index("FROM run AS cuda")


def test_every_file_that_is_named_is_there_or_made() -> None:
    make = (DEPLOY / "secrets/make.sh").read_text(encoding="utf-8")
    for name in COMPOSE:
        for kind in ("configs", "secrets"):
            for facts in read(name).get(kind, {}).values():
                file = DEPLOY / facts["file"]
                if name == "compose.bucket.yaml":
                    assert file.parent.name == "secrets"
                elif file.parent.name == "secrets":
                    assert file.name in make, "make.sh makes it"
                else:
                    assert file.is_file(), file
    for used in re.findall(r"COPY (?:--chmod=\d+ )?(deploy/\S+)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8")):
        assert (ROOT / used).is_file()
        assert f"!{used}" in (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()


def test_the_build_leaves_out_no_package_of_ours() -> None:
    """`tests`, `docs` and the like may be missing in the image; a wing may not."""
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    wings = {name.split(".")[1] for name in packages if "." in name}
    assert wings & set(ignored) == set()


def test_secrets_become_variables_of_the_program_alone(tmp_path: Path) -> None:
    """Values with quotes, spaces and dollars stay whole; files that are no variables are left out."""
    secrets, programs = tmp_path / "secrets", tmp_path / "programs"
    secrets.mkdir()
    programs.mkdir()
    (secrets / "PGPASSWORD").write_text('it\'s $HOME "here" `id`\n', encoding="utf-8")
    (secrets / "tls.key").write_text("no", encoding="utf-8")
    (secrets / "A-B").write_text("no", encoding="utf-8")
    program = programs / "ostensor"
    program.write_text('#!/bin/sh\nprintf "%s|" "$PGPASSWORD" "$@"\nenv | grep -c "=no$"\n', encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "SECRETS_FOLDER": str(secrets), "HOME": "/x"}
    words = [str(DEPLOY / "entrypoint.sh"), "serve", "a b"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == 'it\'s $HOME "here" `id`|serve|a b|0\n', done.stderr


def test_made_secrets_are_random_whole_and_kept(tmp_path: Path) -> None:
    script = tmp_path / "make.sh"
    script.write_bytes((DEPLOY / "secrets/make.sh").read_bytes())
    for _ in range(2):
        subprocess.run(["sh", str(script)], check=True)
        words = {file.name: file.read_text() for file in tmp_path.iterdir() if file.name.endswith("_password")}
        assert len(words) == 3
        assert all(re.fullmatch("[0-9a-f]{48}", word) for word in words.values())
        assert len(set(words.values())) == 3
    users = json.loads((tmp_path / "orthanc_users.json").read_text())["RegisteredUsers"]
    assert users == {"ostensor": words["orthanc_password"]}
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
