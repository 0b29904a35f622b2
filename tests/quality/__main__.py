"""`make quality`: measure matching against labels and print the table; --raise writes it down as the new floors.

`--mistakes CLASS` lists the mistakes of a class that occur most.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.quality import floors
from tests.quality.classes import CLASSES, Bench

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make quality", description=__doc__)
    parser.add_argument("--raise", action="store_true", dest="is_raising", help="write what is measured as new floors")
    parser.add_argument(
        "--mistakes", metavar="CLASS", choices=[c.name for c in CLASSES], help="list a class's mistakes"
    )
    arguments = parser.parse_args()
    if not DATA.is_dir():
        print(f"The shared data is not beside the repository: {DATA}", file=sys.stderr)
        return 2
    bench = Bench(DATA)
    if arguments.mistakes:
        [chosen] = [c for c in CLASSES if c.name == arguments.mistakes]
        print(floors.describe(chosen))
        print(bench.measure(chosen).curated.list_mistakes(chosen.title))
        return 0
    measured = {r.quality_class.name: floors.MeasuredClass.of(r) for r in bench.measure_all()}
    print(floors.text(measured), "\n\nHow the labels are made:")
    print("\n".join(f"* {floors.describe(quality_class)}" for quality_class in CLASSES))
    known = floors.read() if floors.PATH.is_file() else {}
    falls = [
        fall for name in known if name in measured for fall in floors.find_falls(name, measured[name], known[name])
    ]
    print("\n".join(("", *falls)) if falls else "\nNothing is below its floor.")
    if falls:
        return 1
    if arguments.is_raising:
        floors.write(measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
