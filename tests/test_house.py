"""The house rules that no linter knows."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import antivenom
from antivenom.core.policy.rules import GATES
from antivenom.server.rooms import ROOMS
from tests.documented_names import FOREIGN, check_span, find_unknown

REPO = Path(__file__).parent.parent
SOURCE = REPO / "src" / "antivenom"

# Everything that core may import besides the standard library's pure parts and itself.
CORE_LIBRARIES = {
    "antivenom_client",
    "cel",
    "cvss",
    "license_expression",
    "msgspec",
    "packageurl",
    "yaml",
    "zstandard",
}
# What of the standard library does I/O, reads the clock or starts things.
IMPURE = {
    "asyncio", "glob", "http", "logging", "multiprocessing", "os", "pathlib", "random", "shutil", "socket", "sqlite3",
    "subprocess", "tempfile", "threading", "time", "urllib.request",
}  # fmt: skip
CLOCK = re.compile(r"\b(datetime\.now|datetime\.utcnow|date\.today|time\.time|perf_counter|monotonic)\(")

MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
JUSTIFIES_LENGTH = re.compile(r"[Ll]ong because|[Oo]ne module because|[Oo]ne function because")

# Assembled from halves, so that this file does not name them itself.
REGISTRY_HOSTS = (
    "pypi" + ".org",
    "python" + "hosted.org",
    "registry." + "npmjs",
    "deb." + "debian.org",
    "npmjs" + ".com",
)
MACHINE_PATHS = re.compile(r"(?<![\w.~])/(?:work|root)/[\w.]")


def modules(folder: Path = SOURCE) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "versions" not in path.parts)


def committed_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, check=True).stdout
    return [REPO / name.decode() for name in listed.split(b"\0") if name and (REPO / name.decode()).is_file()]


def texts() -> Iterator[tuple[str, str]]:
    """(name, text) of every committed file that is text."""
    for path in committed_files():
        data = path.read_bytes()
        if b"\0" not in data[:8000]:
            yield str(path.relative_to(REPO)), data.decode("utf-8", "replace")


def project() -> dict[str, Any]:
    return tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


# -- the core ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", modules(SOURCE / "core"), ids=lambda path: path.name)
def test_core_imports_only_what_is_pure(path: Path) -> None:
    allowed = (
        CORE_LIBRARIES
        | {"antivenom"}
        | ({"rattler"} if path.relative_to(SOURCE).as_posix() == "core/conda/specs.py" else set())
    )
    for name in imports(path):
        top = name.split(".")[0]
        assert top in allowed or top in sys.stdlib_module_names, f"{path.name} imports {name}"
        assert name not in IMPURE, f"{path.name} imports {name}: core does no I/O"


@pytest.mark.parametrize("path", modules(SOURCE / "core"), ids=lambda path: path.name)
def test_core_never_reads_the_clock(path: Path) -> None:
    assert not CLOCK.search(path.read_text(encoding="utf-8"))


def test_only_core_conda_and_the_solvers_process_import_rattler() -> None:
    users = {
        path.relative_to(SOURCE).as_posix()
        for path in modules()
        if any(n.split(".")[0] == "rattler" for n in imports(path))
    }
    assert users <= {"core/conda/specs.py", "cli/scan_solver.py"}


# -- what is committed -------------------------------------------------------------------------------------------------


def test_no_committed_file_names_a_package_registry() -> None:
    found = [f"{name}: {host}" for name, text in texts() for host in REGISTRY_HOSTS if host in text]
    assert found == []


def test_no_committed_file_holds_a_path_of_a_machine() -> None:
    found = [f"{name}: {hit[0]}" for name, text in texts() for hit in [MACHINE_PATHS.search(text)] if hit]
    assert found == []


def test_requirements_are_hashed_and_name_no_address() -> None:
    for path in sorted((REPO / "requirements").glob("*.txt")):
        lines = path.read_text().splitlines()
        pins = [line for line in lines if "==" in line]
        assert pins, path.name
        assert all(line.endswith("\\") for line in pins), f"{path.name}: a pin without a hash"
        assert not any("://" in line or line.startswith("-") for line in lines), path.name


def test_nothing_is_left_for_later() -> None:
    later = re.compile(r"\b(TODO|FIXME|XXX)\b|NotImplementedError\(\)?\s*$", re.MULTILINE)
    found = [path.relative_to(REPO).as_posix() for path in modules() if later.search(path.read_text(encoding="utf-8"))]
    assert found == []


# -- size and names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_long_modules_and_functions_justify_themselves(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    if text.count("\n") > MODULE_LINES_MAX:
        assert JUSTIFIES_LENGTH.search(ast.get_docstring(tree) or ""), f"{path.name} has {text.count(chr(10))} lines"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            documented = JUSTIFIES_LENGTH.search(ast.get_docstring(node) or "")
            assert lines <= FUNCTION_LINES_MAX or documented, f"{node.name} has {lines} lines"


def test_no_module_is_named_for_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "manager", "misc", "common", "dao"}
    assert [path.name for path in modules() if path.stem in vague] == []


@pytest.mark.parametrize("path", modules(SOURCE / "core"), ids=lambda path: path.name)
def test_public_functions_of_the_core_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert bare == []


# A CVE id that stands for any: in help, hints and docstrings. What is known of a real one is a row of knowledge.
PLACEHOLDER_CVES = {"CVE-2024-0001", "CVE-2024-1234"}


def test_no_code_names_a_cve() -> None:
    found = [
        f"{path.relative_to(REPO)}: {cve}"
        for path in modules()
        for cve in re.findall(r"CVE-\d+-\d+", path.read_text(encoding="utf-8"))
        if cve not in PLACEHOLDER_CVES
    ]
    assert found == [], "what is known of a vulnerability is a row of src/antivenom/knowledge/"


# -- the rooms ---------------------------------------------------------------------------------------------------------


def test_every_room_is_declared() -> None:
    """A folder with tables, jobs or surfaces that `rooms.py` does not name would silently be left out of the server."""
    parts = ("models", "jobs", "api", "pages")
    folders = {path.parent.name for part in parts for path in SOURCE.glob(f"server/*/{part}.py")}
    assert sorted(folders - set(ROOMS)) == [], "add the room to ROOMS in server/rooms.py"
    assert [room for room in ROOMS if not (SOURCE / "server" / room / "__init__.py").exists()] == []


def test_rooms_stand_in_the_order_of_their_imports() -> None:
    """`rooms.py` goes from low to high; the layers of pyproject.toml, which import-linter holds, from high to low."""
    contracts = project()["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract.get("containers") == ["antivenom.server"])
    floors = {name: floor for floor, layer in enumerate(layers) for name in re.findall(r"\w+", layer)}
    assert [room for room in ROOMS if room not in floors] == []
    assert list(ROOMS) == sorted(ROOMS, key=lambda room: -floors[room])


def test_every_room_and_every_folder_of_the_core_has_its_row_on_the_map() -> None:
    text = (REPO / "docs" / "dev" / "map.md").read_text(encoding="utf-8")
    folders = [path.parent.name for path in sorted(SOURCE.glob("core/*/__init__.py"))]
    assert [name for name in (*ROOMS, *folders) if not re.search(rf"^\| `{name}` \| \S", text, re.MULTILINE)] == []


def test_public_functions_of_services_are_documented() -> None:
    for path in sorted(SOURCE.glob("server/*/service.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.parent.name}.service.{node.name}"


# -- what code cites is in this repository ---------------------------------------------------------------------------

PRIVATE_PAPERS = re.compile(r"\b(?:FACTS|TASTE|DESIGN)(?:\.md|,? (?:§ ?)?\d)|\bissue \d")
CITED_PAGE = re.compile(r"\b(docs/[\w/.-]+\.md)(?: \(([^)]+)\))?")


def test_no_code_cites_a_paper_that_is_not_in_this_repository() -> None:
    found = [
        f"{name}: {hit[0]}"
        for name, text in texts()
        if name.startswith("src/")
        for hit in [PRIVATE_PAPERS.search(text)]
        if hit
    ]
    assert found == [], "cite a CEP, a specification, a page of docs/ or a decision in docs/adr/"


def test_every_page_that_code_cites_exists_and_has_the_section() -> None:
    wrong = []
    for path in modules():
        for page, section in CITED_PAGE.findall(" ".join(path.read_text(encoding="utf-8").split())):
            if not (REPO / page).is_file():
                wrong.append(f"{path.name} cites {page}")
            elif page == "docs/dev/measurements.md" and f"\n## {section}\n" not in (REPO / page).read_text("utf-8"):
                wrong.append(f"{path.name} cites {page} ({section})")
    assert wrong == []


def test_every_file_that_code_cites_exists() -> None:
    """Paths are written from the repository, from src/antivenom, from the server, or beside the file."""
    places = (REPO, SOURCE, SOURCE / "server")
    wrong = [
        f"{path.name} cites {cited}"
        for path in modules()
        for cited in re.findall(r"(?<![\w./<>-])((?:\w+/)+\w+\.py)\b", path.read_text(encoding="utf-8"))
        if not any((place / cited).is_file() for place in (*places, path.parent))
        and not cited.startswith(
            ("conda/", "tests/")
        )  # the client's own source, and tests that come with a next commit
    ]
    assert wrong == []


# -- the documentation says what the code does -------------------------------------------------------------------------


def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", REPO / "docs" / "ext" / "reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["settings.md", "errors.md", "cli.md", "api.md"])
def test_generated_reference_is_what_the_code_says(name: str) -> None:
    written = (REPO / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert written == reference().PAGES[name](), "run: make reference"


def test_every_gate_is_a_heading_of_the_policy_reference() -> None:
    text = (REPO / "docs" / "reference" / "policy.md").read_text(encoding="utf-8")
    headings = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert [name for name in GATES if name not in headings] == []


def test_every_feed_kind_is_in_the_feed_reference() -> None:
    from antivenom.core.feeds.registry import KINDS

    text = (REPO / "docs" / "reference" / "feeds.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []


PAGES = sorted(
    path for path in [*REPO.glob("*.md"), *(REPO / "docs").rglob("*.md")] if "_build" not in path.parts
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(REPO).as_posix())
def test_everything_that_a_page_names_exists(page: Path) -> None:
    assert find_unknown(page.read_text(encoding="utf-8")) == [], "see tests/documented_names.py"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("`publish`", "`Publisher`"),
        ("`derived_keys`", "`decoded_keys`"),
        ("`derived_keys(index_keys)`", "`decoded_keys(index_keys)`"),
        ("`BlobStore.put_file(key, path, move=False)`", "`BlobStore.put_file(key, path, copy=False)`"),
        ("`CompiledPolicy.judge`", "`CompiledPolicy.decide`"),
        ("`channel_policies.service.set_policy`", "`publications.service.set_policy`"),
        ("`core.matching.match`", "`core.matching.matched`"),
        ("`ctx.session`", "`ctx.sessions`"),
        ("`os.sendfile`", "`os.sendfiles`"),
        ("`core/errors.py`", "`core/error.py`"),
        ("`src/antivenom/core/feeds/<kind>.py`", "`src/antivenom/server/feeds/<kind>.py`"),
        ("`tests/homes/make.py`", "`tests/homes/makes.py`"),
        ("`policies.html`", "`policys.html`"),
        ("`index/…`", "`indexes/…`"),
        ("`antivenom channel withheld`", "`antivenom channel hidden`"),
        ("`antivenom channel withheld --output json`", "`antivenom channel withheld --format json`"),
        ("`--no-demo`", "`--without-demo`"),
        ("`make release-check`", "`make release`"),
        ("`pytest tests/core/policy`", "`pytest tests/core/policies`"),
        ("`python -m tests.homes.make`", "`python -m tests.homes.write`"),
        ("`ANTIVENOM_HOME`", "`ANTIVENOM_FOLDER`"),
        ("`PUT /api/v1/channels/{channel}/policy`", "`POST /api/v1/channels/{channel}/policy`"),
        ("`/channels/{c}/withheld`", "`/channels/{c}/hidden`"),
        ("`policy.revised`", "`policy.edited`"),
        ("`mirror.sync`", "`mirror.update`"),
        ("`every_s=60`", "`each_s=60`"),
        ("```console\n$ antivenom feed list\n```", "```console\n$ antivenom feeds list\n```"),
        ("```console\n$ make up\n```", "```console\n$ make start\n```"),
        (
            "```python\nfrom antivenom.core.errors import NotFoundError\n```",
            "```python\nfrom antivenom.core.errors import MissingError\n```",
        ),
        ("```python\nx = load_source(blobs, key)\n```", "```python\nx = open_source(blobs, key)\n```"),
        ("```python\nload_source(blobs, key) -> SourceMap\n```", "```python\nload_source(blobs, name) -> SourceMap\n```"),
    ],
)  # fmt: skip
def test_names_in_pages_are_looked_up(right: str, wrong: str) -> None:
    assert find_unknown(f"A page names {right}, for example." if right[1] != "`" else right) == []
    assert len(find_unknown(f"A page names {wrong}, for example." if wrong[1] != "`" else wrong)) == 1


def test_list_of_foreign_words_is_as_short_as_it_can_be() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    needless = [word for word in FOREIGN if f"`{word}`" not in text or not check_span(word, frozenset())]
    assert needless == []


@pytest.mark.parametrize("page", sorted((REPO / "docs/dev").glob("how-to-*.md")), ids=lambda path: path.stem)
def test_how_to_has_at_most_six_steps(page: Path) -> None:
    steps = re.findall(r"^(\d)\. ", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert steps == [str(number + 1) for number in range(len(steps))]
    assert 3 <= len(steps) <= 6, "a how-to that needs more asks for another structure"


DECISIONS = sorted((REPO / "docs/adr").glob("*.md"))
DECISION_PARTS = {"Context.", "Alternatives.", "Decision.", "Consequence.", "What would change our mind.", "Held by"}


@pytest.mark.parametrize("page", DECISIONS, ids=lambda path: path.stem)
def test_decision_says_what_else_was_possible_and_what_would_change_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    parts = dict(re.findall(r"^\*\*(.+?)\*\*(.*?)(?=^\*\*|\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(parts) == DECISION_PARTS
    assert f"# {int(page.name[:4])}. " in text
    assert len(re.findall(r"(?<!\w)\*\S[^*]+\*", parts["Alternatives."])) >= 2, (
        "name two alternatives, each *in italics*"
    )


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = [page.name[:4] for page in DECISIONS]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("page", DECISIONS, ids=lambda path: path.stem)
def test_what_holds_a_decision_exists(page: Path) -> None:
    """It names a test, the bench or CI; what it quotes is the name of a contract of import-linter."""
    held = " ".join(page.read_text(encoding="utf-8").split("**Held by**")[1].split())
    contracts = {contract["name"] for contract in project()["tool"]["importlinter"]["contracts"]}
    assert re.search(r"`(tests/[\w/.]+\.py|make bench|\.ci/run)`|import-linter", held)
    assert [name for name in re.findall(r'"([^"]+)"', held) if name not in contracts] == []


def test_make_help_names_every_target() -> None:
    text = (REPO / "Makefile").read_text()
    phony = next(line for line in text.splitlines() if line.startswith(".PHONY:")).split()[1:]
    assert [target for target in phony if not re.search(rf"^{target}:.*## ", text, re.MULTILINE)] == []


# -- memory ------------------------------------------------------------------------------------------------------------


def grows_without_end(path: Path) -> Iterator[str]:
    """Functions of a parameter whose every answer is remembered: whoever chooses the argument fills the memory."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.args.args or node.args.kwonlyargs):
            names = {ast.unparse(decorator).removeprefix("functools.") for decorator in node.decorator_list}
            if names & {"cache", "lru_cache(maxsize=None)", "lru_cache(None)"}:
                yield f"{path.relative_to(REPO)}:{node.lineno}: {node.name}"


def test_no_answer_about_somebody_elses_text_is_remembered_for_ever() -> None:
    sources = [*(SOURCE / "core").rglob("*.py"), *(SOURCE / "server").rglob("*.py")]
    assert [found for path in sorted(sources) for found in grows_without_end(path)] == []


# -- the suite itself --------------------------------------------------------------------------------------------------

SPEED = {"sleep", "monotonic", "perf_counter", "process_time", "wait_for", "wait_for_timeout", "wait_for_load_state"}
WAITS = REPO / "tests" / "waiting.py"


def depends_on_speed(path: Path) -> Iterator[str]:
    """Calls that sleep, read a stopwatch, or give up after a number of seconds."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        is_yield = name == "sleep" and ast.unparse(node.args[0]) == "0"
        gives_up = any(word.arg == "timeout" and isinstance(word.value, ast.Constant) for word in node.keywords)
        waits_long = name == "wait" and any(isinstance(argument, ast.Constant) for argument in node.args)
        if (name in SPEED and not is_yield) or gives_up or waits_long:
            yield f"{path.relative_to(REPO)}:{node.lineno}: {ast.unparse(node)}"


def test_no_test_depends_on_how_fast_the_machine_is() -> None:
    """A state is held open by what the test controls; what comes and stays is waited for by `tests/waiting.py`."""
    # They measure time, let it pass, and stop what a mistake makes go on for ever; pytest runs none of them.
    apart = {"bench", "soak", "mutation"}
    tests = [path for path in (REPO / "tests").rglob("*.py") if path != WAITS and not apart & set(path.parts)]
    assert [found for path in sorted(tests) for found in depends_on_speed(path)] == []


# -- what a contributor looks for --------------------------------------------------------------------------------------


def test_changelog_has_the_version_of_the_project() -> None:
    version = project()["project"]["version"]
    headings = re.findall(r"^## \[(.+?)\]", (REPO / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert version in headings
    assert version == antivenom.__version__


def test_licence_is_the_one_that_the_project_names() -> None:
    assert project()["project"]["license"] == "Apache-2.0"
    text = (REPO / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0" in text
    assert "END OF TERMS AND CONDITIONS" in text
