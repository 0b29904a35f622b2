"""Turn a fetched feed into one file of COPY rows, in a child process, one entry at a time.

Nothing is stored before the whole feed could be read: what is truncated, a bomb or of another kind changes nothing.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from antivenom.core.errors import StorageError
from antivenom.core.feeds.unpack import UnreadableFileError
from antivenom.feeds.reading import FeedReport, ShowProgress, read_feed
from antivenom.server.adapters.cpu import bounded_memory, without_cycles
from antivenom.server.advisories.copy_rows import row_line

READ_MEMORY_BYTES = 3 * 2**30  # the largest real file, a year of NVD in one text, takes a quarter


def spool_feed(
    kind: str,
    path: str,
    target: str,
    location: str,
    now: str,
    *,
    may_be_empty: bool = False,
    on_progress: ShowProgress | None = None,
) -> FeedReport:
    """Read every entry below `path` and write its row to the file `target`.

    Args:
        now: ISO 8601 with offset; dates beyond it are flagged.
        may_be_empty: An increment may bring nothing; a whole feed that does is refused.

    Raises:
        InvalidInputError: Damaged, a bomb, of another kind, or without a single usable entry.
        StorageError: The disk is full.
    """
    try:
        with Path(target).open("wb") as out, without_cycles(), bounded_memory(READ_MEMORY_BYTES):
            return read_feed(
                kind,
                Path(path),
                location,
                datetime.fromisoformat(now),
                lambda row: out.write(row_line(row)),
                may_be_empty=may_be_empty,
                on_progress=on_progress,
            )
    except MemoryError:
        raise UnreadableFileError(
            f"refused: reading {Path(path).name} takes more than {READ_MEMORY_BYTES >> 20:,} MiB of memory",
            hint="no real feed does; split a file that is larger than any, or give a folder of files",
        ) from None
    except OSError as error:
        raise StorageError(
            f"cannot write a temporary file: {error.strerror or error}", hint="is the disk full?"
        ) from None
