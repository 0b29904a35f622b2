"""Logs: short lines for people, without secrets."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

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


def start_logging(part: str, level: str, file: Path | None = None) -> None:
    """Send this process's log to stderr, or to a file that it shares with others (lines are appended whole)."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    handler: logging.Handler = (
        logging.FileHandler(file, encoding="utf-8") if file else logging.StreamHandler(sys.stderr)
    )
    handler.setFormatter(HumanFormatter(part))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
