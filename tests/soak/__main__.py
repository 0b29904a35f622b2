"""The crash suite: `python -m tests.soak [--minutes 60] [--seed 7]`, or `make soak ARGS="…"`. See docs/dev/soak.md.

Exit code 1 when anything was found. The seed decides which faults come in which order; what the machine makes of it is
not repeatable to the millisecond.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.soak import faults
from tests.soak.era import SHAPES, Era
from tests.soak.journal import Journal
from tests.soak.leftovers import Watch
from tests.soak.settling import BOUND_S, check_deeply, check_queue, check_storage, settle

ERA_S, ERA_LEAST_S = 600.0, 150.0
FAULT_S = (1.0, 20.0)
STORAGE_SHARE = 0.4  # of the rounds are followed by a collection and a verification of the blobs


def main() -> int:
    options = read_options()
    folder = Path(tempfile.mkdtemp(prefix="antivenom-soak-", dir=options.folder))
    folder.chmod(0o755)
    journal = Journal(folder, loud=options.loud)
    print(f"soak: seed {options.seed}, {options.minutes:g} minutes, in {folder}", flush=True)
    until = time.monotonic() + 60 * options.minutes
    rng = random.Random(options.seed)
    shapes = [options.shape] if options.shape else rng.sample(SHAPES, len(SHAPES))
    number = 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while time.monotonic() < until and (options.keep_going or not journal.findings):
            share = options.era_s or min(ERA_S, max(ERA_LEAST_S, 60 * options.minutes / len(shapes)))
            live(folder / f"era-{number}", shapes[number % len(shapes)], journal, options, rng.random(), until, share)
            number += 1
    except KeyboardInterrupt:
        print("interrupted")
    return report(journal, options.seed, folder, keep=options.keep)


def live(
    folder: Path, shape: str, journal: Journal, options: argparse.Namespace, seed: float, until: float, share_s: float
) -> None:
    """One era, until its time is over or something was found."""
    journal.note("era", f"{folder.name}: {shape}")
    rng = random.Random(seed)
    watch = Watch()
    end = min(until, time.monotonic() + share_s)
    before = len(journal.findings)
    with Era(folder, shape, journal, rng.randrange(2**32)) as era:
        era.faulty.set()
        if not (era.begin() and settle(era, BOUND_S)):
            return
        era.is_published = True
        era.actors.start()
        while time.monotonic() < end and len(journal.findings) == before:
            run_round(era, rng, options.only)
            watch.check(era)
        watch.check(era)
    if len(journal.findings) == before and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)


def run_round(era: Era, rng: random.Random, only: list[str]) -> None:
    """Quiet for a moment, faults, and everything as it should be again."""
    era.cluster.is_unrest.clear()
    era.faulty.clear()
    era.actors.rest(False)
    time.sleep(rng.uniform(0.5, 3.0))
    names = faults.choose(era, rng, only)
    lasting = rng.uniform(*FAULT_S)
    era.journal.note("round", ", ".join(names), s=round(lasting, 1))
    era.faulty.set()
    era.cluster.is_unrest.set()
    with faults.begun(era, rng, names):
        time.sleep(lasting)
    if settle(era):
        check_deeply(era)
        check_queue(era)
        if rng.random() < STORAGE_SHARE:
            check_storage(era)


def report(journal: Journal, seed: int, folder: Path, *, keep: bool) -> int:
    rounds = journal.counts["round"]
    print(f"\n{rounds} rounds in {journal.counts['era']} eras; what was done:")
    if journal.settled_s:
        longest, middle = max(journal.settled_s), statistics.median(journal.settled_s)
        print(f"  all was as accepted {middle:.0f} s after a round (median), {longest:.0f} s at most")
    for kind, count in sorted(journal.counts.items()):
        if kind.startswith(("fault ", "read ", "artifact ", "policy", "sync", "mirror", "channel", "plan")):
            print(f"  {count:7d}  {kind}")
    journal.close()
    if not journal.findings:
        print(f"nothing found (seed {seed})")
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        return 0
    print(f"\n{len(journal.findings)} findings with seed {seed}; the history and the logs are in {folder}")
    for number, what in enumerate(journal.findings, 1):
        print(f"\n{number}. {what}")
    print("\nThe last actions:\n" + journal.tell_last())
    return 1


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--shape", choices=SHAPES, help="only servers of this shape")
    parser.add_argument("--only", action="append", default=[], help="only faults that begin so; may be repeated")
    parser.add_argument("--era-s", type=float, help="how long one server lives, in seconds")
    parser.add_argument("--folder", help="where everything is kept meanwhile")
    parser.add_argument("--keep-going", action="store_true", help="begin a new era after a finding")
    parser.add_argument("--keep", action="store_true", help="keep the folders of eras without a finding")
    parser.add_argument("--loud", action="store_true", help="print every action")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
