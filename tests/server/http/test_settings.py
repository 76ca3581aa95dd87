"""Addresses and settings: what is safe to serve, and which names are answered."""

import socket
from pathlib import Path

import pytest

from ostensor.imaging.errors import BadCall
from ostensor.observing.settings import Watching
from ostensor.server.http.serve import serve_http
from ostensor.server.http.settings import HttpSettings, address, http_settings
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings


@pytest.mark.parametrize("wrong", ["8080", "127.0.0.1:", "127.0.0.1:99999", "host:port"])
def test_addresses_that_are_none(wrong: str) -> None:
    with pytest.raises(BadCall, match="HOST:PORT"):
        address(wrong)


def test_addresses() -> None:
    assert address("127.0.0.1:8765") == ("127.0.0.1", 8765)
    assert address(":8765") == ("127.0.0.1", 8765)
    assert address("[::1]:80") == ("::1", 80)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "ostensor.example.org"])
def test_an_address_others_can_reach_needs_tokens(host: str) -> None:
    with pytest.raises(BadCall, match="password"):
        HttpSettings(host=host)
    assert HttpSettings(host=host, auth="tokens").auth == "tokens"


def test_several_processes_do_not_each_start_a_ray_of_their_own(tmp_path: Path) -> None:
    desk = Desk(Settings(tmp_path / "store", (tmp_path,), workers="ray"))
    with desk, pytest.raises(BadCall, match=r"in each of 2 processes.*ray://auto"):
        serve_http(desk, HttpSettings(workers=2), Watching())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "127.0.0.1"])
def test_names_are_checked_whatever_the_address(host: str) -> None:
    http = HttpSettings(host=host, port=8765, auth="tokens", public_url="https://scans.example.org/mcp")
    assert "scans.example.org" in http.hosts
    assert "localhost:*" in http.hosts
    assert not {"*", "0.0.0.0", "[::]", "0.0.0.0:*", ""} & set(http.hosts)
    assert "https://scans.example.org" in http.origins
    assert all(origin.startswith(("http://", "https://")) for origin in http.origins)


def test_a_file_sets_what_the_command_line_does_not(tmp_path: Path) -> None:
    config = tmp_path / "http.toml"
    config.write_text('auth = "tokens"\nworkers = 3\nallowed_hosts = ["a:1", "b"]\ndrain_s = 4\n', encoding="utf-8")
    made = http_settings("0.0.0.0:80", config, workers=2, auth=None)
    assert (made.auth, made.workers, made.allowed_hosts, made.drain_s) == ("tokens", 2, ("a:1", "b"), 4.0)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("workrs = 2", "workrs"),
        ('workers = "2"', "workers must be a int"),
        ("workers = 0", "at least 1"),
        ("workers = true", "workers"),
        ('auth = "basic"', "basic"),
        ('auth = "oauth"', "issuer, jwks and public_url"),
        ("auth =", "not TOML"),
        ('jwks = "http://keys.example.org/jwks"', "plain http"),
    ],
)
def test_settings_that_are_refused(tmp_path: Path, text: str, fact: str) -> None:
    config = tmp_path / "http.toml"
    config.write_text(text, encoding="utf-8")
    with pytest.raises(BadCall, match=fact):
        http_settings("127.0.0.1:80", config)


def test_a_missing_file_is_named_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(BadCall, match=r"^'none.toml' cannot be read"):
        http_settings("127.0.0.1:80", tmp_path / "none.toml")


def test_answers_are_sent_at_once() -> None:
    """asyncio turns Nagle's algorithm off on connections of a listener that names TCP, and only there."""
    from ostensor.server.http.serve import _listening

    with _listening(HttpSettings(port=0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP
