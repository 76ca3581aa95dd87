"""Only files under a root may be used, whatever the spelling of the path."""

from pathlib import Path

import pytest

from ostensor.imaging.errors import BadCall
from ostensor.store.roots import Roots


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with one file, beside a secret that is not in it."""
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "scan.nii").write_bytes(b"x")
    (tmp_path / "secret.nii").write_bytes(b"x")
    (tmp_path / "allowed-not").mkdir()
    (tmp_path / "allowed-not" / "scan.nii").write_bytes(b"x")
    return tmp_path / "allowed"


def test_relative_and_absolute_paths_lead_to_the_same_file(root: Path) -> None:
    roots = Roots([root])
    assert roots.inside("scan.nii") == roots.inside(root / "scan.nii") == (root / "scan.nii").resolve()
    assert roots.shown(roots.inside("scan.nii")) == "scan.nii"


@pytest.mark.parametrize(
    "path", ["../secret.nii", "a/../../secret.nii", "/etc/passwd", "../allowed-not/scan.nii", "~/../../etc/passwd"]
)
def test_a_path_that_leads_out_is_refused_without_naming_the_folder(root: Path, path: str) -> None:
    with pytest.raises(BadCall, match="outside the allowed folders") as refusal:
        Roots([root]).inside(path)
    assert str(root.parent) not in str(refusal.value)


def test_a_link_that_leads_out_is_refused(root: Path) -> None:
    (root / "link.nii").symlink_to(root.parent / "secret.nii")
    (root / "folder").symlink_to(root.parent)
    for path in ("link.nii", "folder/secret.nii"):
        with pytest.raises(BadCall, match="outside"):
            Roots([root]).inside(path)


def test_a_loop_of_links_is_refused(root: Path) -> None:
    (root / "a").symlink_to(root / "b")
    (root / "b").symlink_to(root / "a")
    with pytest.raises(BadCall):
        Roots([root]).inside("a")


def test_a_new_file_goes_to_the_first_root_and_an_old_one_is_found_in_any(root: Path) -> None:
    roots = Roots([root, root.parent / "allowed-not"])
    assert roots.inside("new.nii", must_exist=False) == root.resolve() / "new.nii"
    (root / "scan.nii").unlink()
    assert roots.inside("scan.nii").parent.name == "allowed-not"


@pytest.mark.parametrize(("path", "fact"), [("", "empty"), ("a\x00b", "NUL"), ("none.nii", "does not exist")])
def test_unusable_paths_are_refused(root: Path, path: str, fact: str) -> None:
    with pytest.raises(BadCall, match=fact):
        Roots([root]).inside(path)


def test_roots_must_exist(tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="not a folder"):
        Roots([tmp_path / "nowhere"])
    with pytest.raises(BadCall, match="No root"):
        Roots([])


def test_paths_as_chats_write_them_are_understood(tmp_path: Path) -> None:
    root = tmp_path / "scans"
    root.mkdir()
    (root / "left knee.nii.gz").touch()
    roots = Roots([root])
    for text in (
        '"left knee.nii.gz"', "'left knee.nii.gz'", "`left knee.nii.gz`", " left knee.nii.gz ",
        f"file://{root}/left%20knee.nii.gz", f"file://localhost{root}/left knee.nii.gz",
    ):  # fmt: skip
        assert roots.inside(text).name == "left knee.nii.gz", text
    with pytest.raises(BadCall, match="is an address"):
        roots.inside("https://example.org/left.nii.gz")
    with pytest.raises(BadCall, match="machine 'other'"):
        roots.inside("file://other/left.nii.gz")


def test_a_misspelt_name_is_answered_with_names_that_are_there(tmp_path: Path) -> None:
    root = tmp_path / "scans"
    root.mkdir()
    for name in ("abdomen.nii.gz", "brain.nii.gz"):
        (root / name).touch()
    (tmp_path / "abdomen_secret.nii.gz").touch()
    with pytest.raises(BadCall, match=r"Did you mean 'abdomen.nii.gz'\?$"):
        Roots([root]).inside("abdomne.nii.gz")
    with pytest.raises(BadCall, match="Check the spelling"):
        Roots([root]).inside("xyz")
    (root / "study").mkdir()
    (root / "study" / "pelvis.nii.gz").touch()
    with pytest.raises(BadCall, match=r"Did you mean 'study/pelvis.nii.gz'\?$"):
        Roots([root]).inside("study/pelvs.nii.gz")
    with pytest.raises(BadCall, match=r"Did you mean 'study/pelvis.nii.gz'\?$"):
        Roots([root]).inside("pelvis.nii.gz")
    with pytest.raises(BadCall, match=r"Did you mean 'study'\?$"):
        Roots([root]).inside("studdy/pelvis.nii.gz")
    (tmp_path / "zz_hidden.nii.gz").touch()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(BadCall, match="Check the spelling"):
        Roots([root]).inside("zz_hidden.nii.gz")


def test_roots_have_names_that_begin_a_path(tmp_path: Path) -> None:
    for name in ("a/scans", "b/scans"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "ct.nii").touch()
    roots = Roots([tmp_path / "a/scans", tmp_path / "b/scans"])
    assert list(roots.names) == ["scans", "scans-2"]
    assert roots.inside("ct.nii").parent.parent.name == "a"
    assert roots.inside("scans-2/ct.nii").parent.parent.name == "b"
    with pytest.raises(BadCall, match="outside"):
        roots.inside("scans-2/../../../x")
