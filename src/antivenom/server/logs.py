"""Logs: short lines for people, without secrets."""

from __future__ import annotations

import logging
import sys
from typing import IO

from antivenom.core.redaction import redact

QUIET = ("procrastinate", "uvicorn", "uvicorn.access", "asyncio", "alembic")


class HumanFormatter(logging.Formatter):
    """`12:03:04 worker  warning: what happened`; info and debug lines have no level."""

    def __init__(self, part: str) -> None:
        super().__init__(datefmt="%H:%M:%S")
        self._part = part

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        text = f"{self.formatTime(record, self.datefmt)} {self._part:<8} {level}{record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return redact(text)


def _shorten(record: logging.LogRecord) -> bool:
    """Make one line of what the job queue says of its database; drop what it says of jobs, which we say ourselves."""
    is_of_queue = record.name.startswith("procrastinate")
    if is_of_queue or (record.exc_info and type(record.exc_info[1]).__name__ == "ConnectorException"):
        record.exc_info = None
    return not (is_of_queue and str(getattr(record, "action", "")).startswith("job_error"))


def make_handler(part: str, stream: IO[str]) -> logging.Handler:
    """Writes a process's log for people, whoever of its libraries speaks."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(HumanFormatter(part))
    handler.addFilter(_shorten)
    return handler


def start_logging(part: str, level: str) -> None:
    """Send this process's log to stderr."""
    logging.basicConfig(level=level.upper(), handlers=[make_handler(part, sys.stderr)], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
