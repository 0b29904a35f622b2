"""A plugin: run the tests once to see which reach what, then try each change of the code in a fork of this very process.

Collecting the tests anew for each change, as mutmut does, takes longer than most changes need. Of the tests that reach a
change the quickest runs first, and nobody looks for the smallest example that fails. What functions of the changed
modules remember is forgotten, or a right answer from before the mistake would hide it.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import Phase, settings

NOTICED, UNNOTICED, NOT_REACHED = 1, 0, 33  # as mutmut notes them; what takes too long is killed, and noticed
CPU_SECONDS_MORE = 2  # than three times what a test takes without a mistake
SAVE_EVERY = 25
CHANGE, PATTERNS, AGAIN, UNTIL = "MUTANT_UNDER_TEST", "CHANGES", "AGAIN", "UNTIL"  # of the environment


Caches = list["functools._lru_cache_wrapper[object]"]


def pytest_configure() -> None:
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    settings.register_profile("mutation", settings.get_profile("antivenom"), phases=phases, database=None)
    settings.load_profile("mutation")


class Outcomes:
    """What mutmut knows of the changes of all modules, in the files beside these."""

    def __init__(self) -> None:
        self._files = {path: json.loads(path.read_text()) for path in Path("src").rglob("*.py.meta")}
        self.modules = {".".join(path.parts[1:]).removesuffix(".py.meta") for path in self._files}

    def to_try(self, patterns: list[str], *, again: bool) -> list[str]:
        """Those that any pattern names; without one, those that were not tried, and `again` those that survived."""
        open_ones = {None} | ({UNNOTICED, NOT_REACHED} if again else set())
        return [
            name
            for noted in self._files.values()
            for name, outcome in noted["exit_code_by_key"].items()
            if (any(fnmatchcase(name, pattern) for pattern in patterns) if patterns else outcome in open_ones)
        ]

    def note(self, found: dict[str, int]) -> None:
        for path, noted in self._files.items():
            known = noted["exit_code_by_key"]
            if mine := {name: outcome for name, outcome in found.items() if name in known}:
                known |= mine
                path.write_text(json.dumps(noted, indent=4))
        found.clear()


def pytest_runtestloop(session: pytest.Session) -> bool:
    if session.testsfailed:
        pytest.exit("some tests cannot be collected", returncode=1)
    outcomes, found = Outcomes(), dict[str, int]()
    caches = [one for one in gc.get_objects() if type(one) is functools._lru_cache_wrapper]
    caches = [one for one in caches if one.__module__ in outcomes.modules]
    reaching, took = find_reach(session.items, caches)
    forget(caches)
    gc.freeze()  # forks share what is there
    for name in outcomes.to_try(os.environ[PATTERNS].split(), again=bool(os.environ[AGAIN])):
        items = sorted(reaching[name.rpartition("__mutmut_")[0]], key=lambda item: took[item])
        found[name] = run_in_fork(name, items, took) if items else NOT_REACHED
        if len(found) >= SAVE_EVERY:
            outcomes.note(found)
        if time.time() > float(os.environ[UNTIL]):
            break
    outcomes.note(found)
    return True


def forget(caches: Caches) -> None:
    for cache in caches:
        cache.cache_clear()


def find_reach(
    items: list[pytest.Item], caches: Caches
) -> tuple[dict[str, set[pytest.Item]], dict[pytest.Item, float]]:
    """The tests that reach each function, and how long each takes in seconds of the processor."""
    from mutmut.mutation import trampoline  # type: ignore[import-not-found]  # where it is installed

    reaching: dict[str, set[pytest.Item]] = defaultdict(set)
    took: dict[pytest.Item, float] = {}
    os.environ[CHANGE] = "stats"
    for item in items:
        trampoline.record_trampoline_hit = lambda name, item=item, **_: reaching[name].add(item)
        started = time.process_time()
        forget(caches)
        if any(failed(item)):
            pytest.exit(f"{item.nodeid} fails without any mistake", returncode=1)
        took[item] = time.process_time() - started
    return reaching, took


def run_in_fork(name: str, items: list[pytest.Item], took: dict[pytest.Item, float]) -> int:
    """Try one change; a test that goes on and on has noticed it."""
    child = os.fork()
    if child == 0:
        outcome = NOTICED
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            os.environ[CHANGE] = name
            for item in items:
                limit = int(time.process_time() + 3 * took[item]) + CPU_SECONDS_MORE
                resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
                if any(failed(item)):
                    break
            else:
                outcome = UNNOTICED
        finally:
            os._exit(outcome)
    _, status = os.waitpid(child, 0)
    return UNNOTICED if os.WIFEXITED(status) and os.WEXITSTATUS(status) == UNNOTICED else NOTICED


def failed(item: pytest.Item) -> Iterator[bool]:
    """Whether each step of a test fails: setting up, the test, tearing down."""
    yield from (report.failed for report in runtestprotocol(item, log=False, nextitem=None))
