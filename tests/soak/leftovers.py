"""What a server that was ill-treated may not leave behind: processes, descriptors, memory, bytes, words in its logs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.s3_service import ACCESS
from tests.soak.era import Era
from tests.soak.places import sizes_below
from tests.soak.upstream import SECRETS

BOUNDS = {  # of one process: descriptors, threads, resident megabytes
    "web": (150, 60, 500),
    "worker": (150, 60, 500),
    "child": (80, 40, 700),
}
CHILDREN_MAX = 4  # of one web process or worker
SCRATCH_MAX_MB = 64
TRACEBACK = re.compile(r"^Traceback \(most recent call last\)", re.MULTILINE)
LOGS_SHOWN = 30


@dataclass
class Watch:
    """What was read of each log so far."""

    read: dict[Path, int] = field(default_factory=dict)

    def check(self, era: Era) -> None:
        self.check_logs(era)
        check_processes(era)
        check_scratch(era)

    def check_logs(self, era: Era) -> None:
        """No traceback and no secret in what was written since the last look."""
        secrets = [*SECRETS, ACCESS["AWS_SECRET_ACCESS_KEY"], era.cluster.token]
        for path in list_logs(era):
            text = self._read_on(path)
            for secret in secrets:
                if secret and secret in text:
                    era.find(f"a secret stands in {path.name}: {_line_with(text, secret)}")
            for found in TRACEBACK.finditer(text):
                lines = text[max(0, text.rfind("\n", 0, max(0, found.start() - 1))) :].splitlines()[:LOGS_SHOWN]
                end = next((line for line in text[found.start() :].splitlines()[1:] if line[:1].strip()), "")
                era.find(f"a traceback in {path.name}, which ends with {end!r}:\n" + "\n".join(lines))
                break

    def _read_on(self, path: Path) -> str:
        begin = self.read.get(path, 0)
        try:
            with path.open("rb") as file:
                if file.seek(0, 2) < begin:
                    begin = 0
                file.seek(begin)
                data = file.read()
        except OSError:
            return ""
        self.read[path] = begin + len(data)
        return data.decode(errors="replace")


def _line_with(text: str, words: str) -> str:
    return next(line for line in text.splitlines() if words in line)[:500]


def list_logs(era: Era) -> list[Path]:
    logs = {part.log for part in era.cluster.parts if part.name not in ("postgres", "s3")}
    for home in era.cluster.homes:
        logs |= {path for path in (home / "logs").glob("*.log") if path.name != "postgres.log"}
    return sorted(logs)


def check_processes(era: Era) -> None:
    """As many as there should be, each within its bounds."""
    servers = len(era.cluster.web_ports)
    for kind, wanted in (("web", servers), ("worker", servers)):
        found = era.cluster.processes(kind)
        if len(found) != wanted:
            era.find(f"{len(found)} processes of kind {kind} instead of {wanted}: {[p.pid for p in found]}")
    children = era.cluster.processes("child")
    if len(children) > CHILDREN_MAX * 2 * servers:
        era.find(f"{len(children)} child processes: {[p.pid for p in children]}")
    for kind, (descriptors, threads, megabytes) in BOUNDS.items():
        for process in era.cluster.processes(kind):
            try:
                facts = (process.num_fds(), process.num_threads(), process.memory_info().rss >> 20)
            except psutil.Error:
                continue
            era.journal.note("process", kind, pid=process.pid, fds=facts[0], threads=facts[1], mb=facts[2])
            if facts[0] > descriptors or facts[1] > threads or facts[2] > megabytes:
                era.find(f"a {kind} process has {facts[0]} descriptors, {facts[1]} threads, {facts[2]} MB")


def check_scratch(era: Era) -> None:
    """Nothing of dead syncs and downloads stays: nothing works now, so nothing is needed."""
    for home in era.cluster.homes:
        sizes = list(sizes_below(home / "scratch"))
        era.journal.note("scratch", home.name, files=len(sizes), bytes=sum(sizes))
        if sum(sizes) > SCRATCH_MAX_MB << 20:
            era.find(f"{len(sizes)} files with {sum(sizes) >> 20} MB in the scratch folder of {home.name}")
