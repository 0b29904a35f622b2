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

import pytest

import antivenom
from antivenom.core.policy.rules import GATES
from antivenom.server.rooms import ROOMS

REPO = Path(__file__).parent.parent
SOURCE = REPO / "src" / "antivenom"

# Everything that core may import besides the standard library's pure parts and itself.
CORE_LIBRARIES = {
    "cel",
    "cvss",
    "license_expression",
    "msgspec",
    "packageurl",
    "packaging",
    "univers",
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


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def docs_text() -> str:
    pages = [path for path in (REPO / "docs").rglob("*.md") if "_build" not in path.parts]
    return "\n".join(path.read_text(encoding="utf-8") for path in pages)


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


def test_only_core_conda_imports_rattler() -> None:
    users = {
        path.relative_to(SOURCE).as_posix()
        for path in modules()
        if any(n.split(".")[0] == "rattler" for n in imports(path))
    }
    assert users <= {"core/conda/specs.py"}


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


# -- the rooms ---------------------------------------------------------------------------------------------------------


def test_every_room_is_declared() -> None:
    """A folder with tables, jobs or surfaces that `rooms.py` does not name would silently be left out of the server."""
    parts = ("models", "jobs", "api", "pages")
    folders = {path.parent.name for part in parts for path in SOURCE.glob(f"server/*/{part}.py")}
    assert sorted(folders - set(ROOMS)) == [], "add the room to ROOMS in server/rooms.py"
    assert [room for room in ROOMS if not (SOURCE / "server" / room / "__init__.py").exists()] == []


def test_rooms_stand_in_the_order_of_their_imports() -> None:
    """`rooms.py` goes from low to high; the layers of pyproject.toml, which import-linter holds, from high to low."""
    contracts = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract.get("containers") == ["antivenom.server"])
    floors = {name: floor for floor, layer in enumerate(layers) for name in re.findall(r"\w+", layer)}
    assert [room for room in ROOMS if room not in floors] == []
    assert list(ROOMS) == sorted(ROOMS, key=lambda room: -floors[room])


def test_every_room_is_on_the_map() -> None:
    text = (REPO / "docs" / "dev" / "map.md").read_text(encoding="utf-8")
    assert [room for room in ROOMS if not re.search(rf"\b{room}\b", text)] == []


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


def test_every_setting_named_in_the_documentation_exists() -> None:
    from antivenom.server.settings import CLIENT_VARIABLES, list_settings

    known = {setting.name for setting in list_settings()} | set(CLIENT_VARIABLES)
    named = {name.removesuffix("_FILE") for name in re.findall(r"ANTIVENOM_[A-Z0-9_]*[A-Z0-9]", docs_text())}
    assert sorted(named - known - {"ANTIVENOM_X"}) == []


def test_every_command_named_in_readme_and_guides_exists() -> None:
    known = set(re.findall(r"^#+ `(antivenom [a-z -]+)`$", reference().commands_page(), re.MULTILINE))
    pages = [REPO / "README.md", *sorted((REPO / "docs" / "guides").glob("*.md"))]
    named = {
        match
        for page in pages
        for match in re.findall(r"^\$ (antivenom [a-z-]+(?: [a-z-]+)?)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    unknown = [name for name in named if name not in known and name.rsplit(" ", 1)[0] not in known - GROUPS]
    assert unknown == []


GROUPS = {f"antivenom {name}" for name in ("channel", "mirror", "policy", "feed", "token", "admin")}


def test_every_decision_names_what_holds_it() -> None:
    decisions = sorted((REPO / "docs" / "adr").glob("*.md"))
    assert decisions
    assert [path.name for path in decisions if "**Held by**" not in path.read_text(encoding="utf-8")] == []


def test_every_decision_names_files_that_exist() -> None:
    for page in sorted((REPO / "docs" / "adr").glob("*.md")):
        for name in re.findall(r"`(tests/[\w/.]+)`", page.read_text(encoding="utf-8")):
            assert (REPO / name).exists(), f"{page.name} names {name}"


def test_make_help_names_every_target() -> None:
    text = (REPO / "Makefile").read_text()
    phony = next(line for line in text.splitlines() if line.startswith(".PHONY:")).split()[1:]
    assert [target for target in phony if not re.search(rf"^{target}:.*## ", text, re.MULTILINE)] == []


# -- what a contributor looks for --------------------------------------------------------------------------------------


def test_changelog_has_the_version_of_the_project() -> None:
    version = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"]
    headings = re.findall(r"^## \[(.+?)\]", (REPO / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert version in headings
    assert version == antivenom.__version__


def test_licence_is_the_one_that_the_project_names() -> None:
    assert tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["license"] == "Apache-2.0"
    text = (REPO / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0" in text
    assert "END OF TERMS AND CONDITIONS" in text
