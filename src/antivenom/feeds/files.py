"""The files that a feed was fetched into: one file or a folder, opened for the pure readers of `core/feeds`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from antivenom.core.feeds import unpack
from antivenom.core.feeds.unpack import Member, UnreadableFileError, is_data_file


def members(path: Path, name: str = "") -> Generator[Member, None, None]:
    """The unpacked files of a feed: the file itself, or the data files of an archive or a folder, sorted by name.

    Raises:
        UnreadableFileError: Damaged, truncated, encrypted, unreadable or a decompression bomb.
    """
    if path.is_dir():
        yield from _folder_members(path)
        return
    if path.is_char_device() or path.is_block_device() or path.is_socket():  # a pipe may be read
        raise UnreadableFileError(f"{path} is neither a file nor a folder", hint="give the path of a file")
    try:
        packed_bytes = path.stat().st_size
        with path.open("rb") as file:
            yield from unpack.members(file, name or path.name, packed_bytes, _open_scratch)
    except OSError as error:
        raise UnreadableFileError(f"cannot read {path}: {error.strerror or error}", hint="check the path") from None


def _open_scratch() -> BinaryIO:
    return cast(BinaryIO, tempfile.TemporaryFile(prefix="antivenom-inner-"))


def _folder_members(folder: Path) -> Iterator[Member]:
    for where, folders, names in os.walk(folder):  # one folder at a time: a clone has 300,000 files
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(where, name)
            if is_data_file(name) and not path.is_symlink() and path.is_file():
                yield from members(path, str(path.relative_to(folder)))
