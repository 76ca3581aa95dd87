"""What is private stays so under any umask; modes are read back from the file system."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostensor.imaging.guards.atomic import write_atomically
from ostensor.imaging.guards.private import close_to_others, make_folder, make_private_file, make_private_folder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")


@pytest.fixture(params=[0o000, 0o022, 0o277])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_made_in_a_private_folder_is_private(tmp_path: Path, umask: int) -> None:
    make_private_folder(tmp_path / "store")
    write_atomically(tmp_path / "store" / "a" / "b" / "x.bin", lambda file: file.write(b"1"))
    make_private_file(tmp_path / "store" / "c.sqlite")
    found = {path.relative_to(tmp_path).as_posix(): mode(path) for path in (tmp_path / "store").rglob("*")}
    assert found == {
        "store/a": 0o700, "store/a/b": 0o700, "store/a/b/x.bin": 0o600, "store/c.sqlite": 0o600,
    }  # fmt: skip
    assert mode(tmp_path / "store") == 0o700


def test_elsewhere_the_umask_rules(tmp_path: Path) -> None:
    """An export into a shared folder stays readable for those who share it."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o755)
    before = os.umask(0o022)
    try:
        make_folder(tmp_path / "shared" / "more")
        write_atomically(tmp_path / "shared" / "more" / "x.nii", lambda file: file.write(b"1"))
    finally:
        os.umask(before)
    assert (mode(tmp_path / "shared" / "more"), mode(tmp_path / "shared" / "more" / "x.nii")) == (0o755, 0o644)


def test_an_open_folder_is_closed_with_all_in_it_but_no_link_is_followed(tmp_path: Path) -> None:
    other, folder = tmp_path / "other.txt", tmp_path / "arrays"
    (folder / "ab").mkdir(parents=True)
    other.write_text("x", encoding="utf-8")
    (folder / "ab" / "file").write_text("x", encoding="utf-8")
    (folder / "ab" / "link").symlink_to(other)
    for path in (folder, folder / "ab"):
        path.chmod(0o755)
    for path in (other, folder / "ab" / "file"):
        path.chmod(0o644)
    close_to_others(folder)
    assert [mode(path) for path in (folder, folder / "ab", folder / "ab" / "file")] == [0o700, 0o700, 0o600]
    assert mode(other) == 0o644
