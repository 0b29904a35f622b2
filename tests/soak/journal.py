"""What the soak did and what it found, in order."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

SHOWN = 60  # of the last actions, when something was found


class Journal:
    """Everything that happened, kept in a file; the findings apart. Any thread may write."""

    def __init__(self, folder: Path, *, loud: bool = False) -> None:
        self.folder = folder
        self.findings: list[str] = []
        self.counts: Counter[str] = Counter()
        self.settled_s: list[float] = []
        """How long it took after each round until all was as accepted."""
        self._loud = loud
        self._last: deque[str] = deque(maxlen=SHOWN)
        self._lock = threading.Lock()
        self._file = (folder / "history.jsonl").open("a", encoding="utf-8")
        self._started = time.monotonic()

    def note(self, kind: str, what: str = "", **facts: Any) -> None:
        """Write down one action."""
        at = time.monotonic() - self._started
        with self._lock:
            self.counts[kind] += 1
            line = f"{time.strftime('%H:%M:%S')} {at:7.1f} s  {kind}: {what}"
            line += "".join(f" {name}={value}" for name, value in facts.items())
            self._last.append(line)
            json.dump({"at": time.time(), "kind": kind, "what": what, **facts}, self._file, default=str)
            self._file.write("\n")
            self._file.flush()
        if self._loud or kind in ("round", "era", "finding", "settled"):
            print(line, flush=True)

    def find(self, what: str) -> None:
        """Write down a finding, with what was done just before."""
        with self._lock:
            last = list(self._last)
            self.findings.append(what)
            number = len(self.findings)
            (self.folder / f"finding-{number}.txt").write_text(f"{what}\n\n" + "\n".join(last) + "\n", "utf-8")
        self.note("finding", what)

    def tell_last(self) -> str:
        with self._lock:
            return "\n".join(self._last)

    def close(self) -> None:
        self._file.close()
