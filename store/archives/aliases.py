"""What callers know studies and series of archives by: keyed hashes of their UIDs, which stay in the store's folder."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ...imaging.errors import BadCall
from ...imaging.guards.private import make_private_folder, open_private

Level = Literal["study", "series"]
_DIGITS = 12  # of the hash; as other handles have


class Aliases:
    """Aliases of one store: the same UID has another alias in another store, and none tells its UID.

    Args:
        folder: private; holds the key and the names given so far, which processes share.
    """

    def __init__(self, folder: Path) -> None:
        make_private_folder(folder)
        self._names = folder / "names.jsonl"
        self._key = _shared_key(folder / "alias.key")
        self._known: dict[str, str] = {}
        self._read = 0
        self._lock = threading.Lock()

    def name(self, level: Level, uids: Sequence[str]) -> list[str]:
        """An alias for each UID; it is remembered, so that it can be opened later."""
        with self._lock:
            self._catch_up()
            named, new = [], []
            for uid in uids:
                digest = hmac.digest(self._key, f"{level} {uid}".encode(), hashlib.sha256).hex()
                alias = f"{level}_{digest[:_DIGITS]}"
                if self._known.get(alias, uid) != uid:  # of 10 million, two share one with a chance of 1 in 6
                    alias = f"{level}_{digest[:20]}"
                if alias not in self._known:
                    self._known[alias] = uid
                    new.append(json.dumps([alias, uid]) + "\n")
                named.append(alias)
            if new:
                with open(self._names, "ab", opener=open_private) as file:
                    file.write("".join(new).encode())
            return named

    def uid(self, level: Level, word: str) -> str:
        """The UID of an alias; a UID stays what it is.

        Raises:
            BadCall: nobody was told this alias.
        """
        if not word.startswith(f"{level}_"):
            return word
        with self._lock:
            self._catch_up()
            found = self._known.get(word)
        if found is None:
            raise BadCall(
                f"No {level} is known as '{word[:40]}' here. Call list_files on the archive, then use its aliases."
            )
        return found

    def _catch_up(self) -> None:
        """Read what this or another process has written since."""
        if not self._names.exists() or self._names.stat().st_size <= self._read:
            return
        with self._names.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        self._known.update(json.loads(line) for line in whole.splitlines())


def _shared_key(file: Path) -> bytes:
    """32 random bytes, made once by whichever process is first."""
    if not file.exists():
        temporary = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        with open(temporary, "xb", opener=open_private) as made:
            made.write(secrets.token_bytes(32))
        try:
            os.link(temporary, file)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return file.read_bytes()
