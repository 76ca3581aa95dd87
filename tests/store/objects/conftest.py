"""The places arrays can be shared at: a folder that machines mount, and a server that speaks S3."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ostensor.store.shared import Shared

from ...toys.moto import S3, running_s3


@dataclass
class Place:
    """Where arrays go, and how to take it away."""

    url: str
    options: dict[str, Any]
    s3: S3 | None = None

    @property
    def shared(self) -> Shared:
        return Shared(arrays=self.url, options=self.options)

    def go_away(self) -> None:
        if self.s3 is not None:
            self.s3.end()
            return
        folder = Path(self.url.removeprefix("file://"))
        folder.rename(folder.with_name("away"))
        folder.write_text("no folder", encoding="ascii")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "file":
        (tmp_path / "shared").mkdir()
        yield Place(f"file://{tmp_path / 'shared'}", {})
        return
    server: S3 = request.getfixturevalue("s3")  # skips where s3fs is not there
    import s3fs

    if server.process is None:
        server.begin()
    bucket = f"b{abs(hash(tmp_path)):x}"
    s3fs.S3FileSystem(**server.options, skip_instance_cache=True).mkdir(bucket)
    yield Place(f"s3://{bucket}/store", server.options, server)
