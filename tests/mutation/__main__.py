"""Mutation testing: `python -m tests.mutation core/closure [--minutes 30]`, or `make mutate ARGS="…"`. See docs/dev/mutation.md.

mutmut changes one thing of the code at a time and runs the tests that reach it. Exit code 1 when a change survives that
`equivalent.tsv` does not explain.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

REPO = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.tsv")
WORK = REPO / "build" / "mutation"
SMALL_WORLDS = (
    "tests/property/test_closure_laws.py::test_of_two_names_any_single_change_of_the_upstream_or_the_policy_is_seen",
    "tests/property/test_closure_laws.py::test_of_three_names_a_change_that_touches_none_of_the_reasons_is_seen",
)
# Folder or module of the source → the tests that have to notice. They run once for each change that survives, so a few
# seconds are much: laws of random examples are too slow, and a module that needs slow tests is an area of its own.
NEAR = {
    "core/closure": ("tests/core/closure", "tests/core/publishing", *SMALL_WORLDS),
    "core/publishing": ("tests/core/publishing",),
    "core/publishing/fix_releases": ("tests/core/publishing/test_fix_releases.py",),
    "core/publishing/incremental_closure": ("tests/core/closure", "tests/core/publishing", *SMALL_WORLDS),
    "core/matching": ("tests/core/matching",),
    "client/assessing": ("tests/core/matching",),
    "client/version_keys": ("tests/client/test_version_keys.py", "tests/client/test_version_key_laws.py"),
    # Those that need no database; a server of its own for each change would take ten times as long.
    "server/distribution": tuple(
        f"tests/server/distribution/test_{name}.py"
        for name in (
            "serving",
            "problems",
            "blob_content",
            "actor_cache",
            "answer_cache",
            "decompressed",
            "paths",
            "refusal",
        )
    ),
}
APART = (
    # A real client that waits for a server of ours: on a busy machine it gives up, and everything would count as noticed.
    "tests/core/publishing/test_publish.py::test_py_rattler_reads_the_monolith_and_the_shards",
    # Seconds for each survivor; what they would notice, the tables of test_carried_over.py notice too.
    "tests/core/publishing/test_publish.py::test_order_never_matters_and_more_stops_never_admit_more",
    "tests/core/publishing/test_publish.py::test_judging_one_record_for_all_that_agree_says_the_same_as_judging_each",
)
MAKE = """
from mutmut.__main__ import create_mutants
from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir
copy_src_dir()
copy_also_copy_files()
create_mutants(1)
"""
_STRICT = re.compile(r",\s*(?:strict=\w+)?\)")  # of zip: says what holds anyway
_NAME = re.compile(r"antivenom(?:\.|_(?=client))(?P<module>.+)\.x(?:ǁ(?P<owner>\w+)ǁ|_)(?P<function>\w+)__mutmut_\d+")


def main() -> int:
    options = read_options()
    folder = prepare(options.area)
    if options.minutes:
        module = place_of(options.area).removeprefix("src/").replace("/", ".")
        patterns = [f"{module}.{pattern}" for pattern in options.only]
        run(folder, NEAR[options.area], patterns, again=options.again, minutes=options.minutes)
    return report(folder)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("area", choices=sorted(NEAR), help="the folder or module to change")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="PATTERN",
        help="try these functions again, such as propagate.* *_judge*",
    )
    parser.add_argument(
        "--again", action="store_true", help="try again what survived, too: the tests are other ones now"
    )
    parser.add_argument("--minutes", type=float, default=30, help="stop after so long, go on next time; 0 only reports")
    return parser.parse_args()


def place_of(area: str) -> str:
    """Where an area is in the copy, in which src/ holds both distributions."""
    return f"src/antivenom_{area}" if area.startswith("client") else f"src/antivenom/{area}"


def prepare(area: str) -> Path:
    """A copy of the tree for one area. What was tried of functions that are the same stays."""
    folder = WORK / area.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("src", "client", "tests", "docs"):
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(REPO / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "_build"))
    shutil.copytree(REPO / "client/src/antivenom_client", folder / "src/antivenom_client")
    forget_copies(folder / "mutants")
    place = place_of(area)
    apart_areas = ", ".join(f'"{place_of(other)}.py"' for other in NEAR if other.startswith(f"{area}/"))
    pattern = f"{place}/*" if (folder / place).is_dir() else f"{place}.py"
    (folder / "pyproject.toml").write_text(
        f"""{(REPO / "pyproject.toml").read_text()}
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["{pattern}"]
do_not_mutate = [{apart_areas}]
also_copy = ["docs", "client"]
"""
    )
    return folder


def forget_copies(mutants: Path) -> None:
    """Delete all but changed modules and what is known of their mutants: mutmut copies no file that is there already."""
    for path in mutants.rglob("*"):
        module = path if path.suffix == ".py" else path.with_suffix("")  # x.py.meta, x.py.spans
        is_known = module.with_name(f"{module.name}.meta").exists()
        if path.is_file() and not (is_known and (mutants.parent / module.relative_to(mutants)).exists()):
            path.unlink()


def mutmut(folder: Path, *arguments: str) -> str:
    """What a command of mutmut prints."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True, text=True).stdout


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def run(folder: Path, tests: Sequence[str], patterns: list[str], *, again: bool, minutes: float) -> None:
    """Make the changes, and try them one at a time with what the machine can spare (each_change.py)."""
    nice = ["nice", "-n", "15", sys.executable]
    make = [*nice, "-c", MAKE]
    told = {"MUTANT_UNDER_TEST": "mutant_generation"}
    subprocess.run(make, cwd=folder, env=environment() | told, check=True, stdout=subprocess.DEVNULL)
    command = [*nice, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    command += ["--assert=plain", "--tb=native"]  # nobody reads why a test fails
    command += ["-p", "tests.mutation.each_change", *(f"--deselect={test}" for test in APART), *tests]
    told = {"CHANGES": " ".join(patterns), "AGAIN": "yes" if again else "", "UNTIL": str(time.time() + 60 * minutes)}
    with (folder / "log.txt").open("w") as log:
        done = subprocess.run(
            command, cwd=folder / "mutants", env=environment() | told, stdout=log, stderr=log, check=False
        )
    if done.returncode:
        print((folder / "log.txt").read_text()[-4000:])


def report(folder: Path) -> int:
    """Print numbers by module, and what survived and is not explained."""
    explained = read_explained()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    survivors = []
    for line in mutmut(folder, "results", "--all", "true").splitlines():
        name, _, status = line.strip().rpartition(": ")
        found = _NAME.fullmatch(name)
        if found is None:
            continue
        if status == "survived":
            function = ".".join(filter(None, (found["module"], found["owner"], found["function"])))
            before, after = read_change(mutmut(folder, "show", name))
            if _STRICT.sub(")", before) == _STRICT.sub(")", after) or (function, after) in explained:
                status = "equivalent"
            else:
                survivors.append((function, before, after))
        counts[found["module"]][status] += 1
    for function, before, after in survivors:
        print(f"{function}\n  - {before}\n  + {after}")
    for module, of_module in sorted(counts.items()):
        numbers = ", ".join(f"{number} {status}" for status, number in of_module.most_common())
        print(f"{module}: {of_module.total()} mutants: {numbers}")
    return 1 if survivors else 0


def read_change(diff: str) -> tuple[str, str]:
    """The lines that a mutant lacks and those that it has instead, each as one."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    return tuple(" ".join(line[1:].strip() for line in lines if line[:1] == sign) for sign in "-+")  # type: ignore[return-value]


def read_explained() -> set[tuple[str, str]]:
    """Function and changed line of the mutants of which somebody found out that they change nothing."""
    rows = [line.split("\t") for line in EQUIVALENT.read_text().splitlines()[1:]]
    return {(function, line) for function, line, _why in rows}


if __name__ == "__main__":
    sys.exit(main())
