"""What /proc says of processes that a test started."""

from __future__ import annotations

from pathlib import Path


def state_of(pid: int) -> str:
    """R runs, S waits, Z has ended and was not waited for; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    return state_of(pid) not in ("", "Z")


def is_waiting(pid: int, program: str) -> bool:
    """Whether the process has become that program and waits for something."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == program and state_of(pid) == "S"
    except OSError:
        return False
