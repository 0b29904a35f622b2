"""Does what the documentation names in backticks exist? `find_unknown(page)` lists what does not.

A span of code is read as the first of these that it looks like: a command, a make target, a route, a setting, an option, a
path, a call or signature (its keyword arguments have to be parameters), a dotted name, a bare name, a keyword. In blocks
of code the commands, the imports and the calls are read. What looks like nothing of this (a match spec, a line of YAML) is
not judged. FOREIGN lists the few words of others that look like ours.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

REPO = Path(__file__).parent.parent

# Words of others that look like ours, by whose they are.
FOREIGN = frozenset(
    {
        "pytorch", "torch", "redis", "libcurl", "libpq", "x264",  # packages
        "LISTEN", "NOTIFY", "tsvector",  # PostgreSQL
        "CONDA_NO_PLUGINS",  # conda
        "pathsend", "response_file",  # granian
        "vulns_active", "vulns_cleared", "vulns_disputed", "vulns_mitigated",  # keys of a builder's info/security.json
        "findings.exists(f, f.kev)",  # an expression of a policy
        "cpe-index.json", "node.js",  # files and products of feeds
    }
)  # fmt: skip

SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
BLOCK = re.compile(r"^( *)```([\w{}-]*)[^\n]*\n(.*?)^\1```\s*$", re.MULTILINE | re.DOTALL)
EXTENSIONS = ("py", "md", "toml", "txt", "html", "css", "js", "json", "tsv", "yaml", "yml", "sh", "zst", "cfg")
PATH = re.compile(r"\.?[\w.<>*…-]+(?:/[\w.<>*…-]+)*/?")
CALL = re.compile(r"(?:async def |def |await |async with |@)?([A-Za-z_][\w.]*)\((.*)\)(?:\s*->.*)?:?", re.DOTALL)
DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
KEYWORD = re.compile(r"([a-z_]\w*) ?= ?[^=]*")
ROUTE = re.compile(r"(?:(GET|HEAD|POST|PUT|PATCH|DELETE) )?(/[^\s|]*)")
WORD = re.compile(r"[A-Za-z_][\w-]*")
SETTING = re.compile(r"(ANTIVENOM_[A-Z0-9_]*[A-Z0-9])(?:=.*)?")
COMMANDS = ("antivenom", "make", "pytest", "python", ".venv/bin/python", ".venv/bin/antivenom")


@dataclass
class Names:
    """What the sources define."""

    modules: dict[str, dict[str, str | None]] = field(default_factory=dict)  # module -> its names -> class of the name
    classes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # class -> its members
    bases: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    callables: dict[str, list[set[str] | None]] = field(default_factory=lambda: defaultdict(list))  # None: any keyword
    words: set[str] = field(default_factory=set)  # parameters, fields, constants, keywords
    texts: set[str] = field(default_factory=set)  # string constants of src
    libraries: dict[str, str] = field(default_factory=dict)  # name as imported -> dotted name

    def members(self, name: str) -> set[str]:
        """A class's own and inherited members."""
        found, waiting = set(), [name]
        seen: set[str] = set()
        while waiting:
            one = waiting.pop()
            if one not in seen:
                seen.add(one)
                found |= self.classes.get(one, set())
                waiting += self.bases.get(one, ())
        return found


@lru_cache(maxsize=1)
def committed() -> tuple[str, ...]:
    """Every committed file and folder, relative to the repository."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=REPO,
                            capture_output=True, check=True).stdout.decode().split("\0")  # fmt: skip
    files = {name for name in listed if name and (REPO / name).exists()}
    folders = {str(parent) for name in files for parent in Path(name).parents}
    return tuple(sorted(files | folders))


@lru_cache(maxsize=1)
def sources() -> Names:
    """What src, tests, docs/ext and .ci define."""
    names = Names()
    for path in committed():
        if path.endswith(".py"):
            dotted = (
                path.removesuffix(".py")
                .removesuffix("/__init__")
                .removeprefix("client/")
                .removeprefix("src/")
                .replace("/", ".")
            )
            _read_module(names, dotted, ast.parse((REPO / path).read_text(encoding="utf-8")))
    return names


def _read_module(names: Names, dotted: str, tree: ast.Module) -> None:
    own: dict[str, str | None] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            own[node.name] = node.name
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            own[node.name] = None
        elif isinstance(node, ast.Import | ast.ImportFrom):
            own.update(dict.fromkeys((alias.asname or alias.name for alias in node.names), None))
        else:
            own.update(dict.fromkeys(_assigned(node), None))
    names.modules[dotted] = own
    names.words |= own.keys() | {dotted.rsplit(".", 1)[-1]}
    for node in ast.walk(tree):
        _read_node(names, node)
        if dotted.startswith("antivenom") and isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.texts.add(node.value)


def _read_node(names: Names, node: ast.AST) -> None:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            taken = {one.arg for one in parameters}
            names.callables[node.name].append(None if node.args.kwarg else taken)
            names.words |= taken | {node.name}
        case ast.ClassDef():
            names.bases[node.name] |= {ast.unparse(base).split("[")[0].rsplit(".", 1)[-1] for base in node.bases}
            members = set(_members(node))
            names.classes[node.name] |= members
            names.callables[node.name].append(None if node.bases else members)
            names.words |= members
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    parameters = [*inner.args.posonlyargs, *inner.args.args, *inner.args.kwonlyargs]
                    every = None if inner.args.kwarg else {one.arg for one in parameters}
                    names.callables[f"{node.name}.{inner.name}"].append(every)
        case ast.keyword(arg=str()):
            names.words.add(cast(str, node.arg))
        case ast.Import():
            names.libraries |= {(alias.asname or alias.name).split(".")[0]: alias.name for alias in node.names}
        case ast.ImportFrom(module=str()) if not cast(str, node.module).startswith(("antivenom", "tests")):
            names.libraries |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            names.libraries.setdefault(top := cast(str, node.module).split(".")[0], top)


def _members(node: ast.ClassDef) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and inner is not node:
            yield inner.name
            if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                yield from (one.arg for one in [*inner.args.args, *inner.args.kwonlyargs])
        elif isinstance(inner, ast.Attribute) and ast.unparse(inner.value) == "self":
            yield inner.attr
    for inner in node.body:
        yield from _assigned(inner)


def _assigned(node: ast.stmt) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    for target in targets:
        yield from (name.id for name in ast.walk(target) if isinstance(name, ast.Name))


# -- what is not Python ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def command_tree() -> Any:
    import typer

    from antivenom.cli.main import create_app

    return typer.main.get_command(create_app())


@lru_cache(maxsize=1)
def options() -> frozenset[str]:
    """Every option of every command, and those that other programs of the repository declare."""
    found = {text for text in sources().texts if re.fullmatch(r"--?[a-z][\w-]*", text)}
    waiting = [command_tree()]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        found |= {name for one in command.params for name in [*one.opts, *one.secondary_opts]}
    return frozenset(found | {"--help"})


@lru_cache(maxsize=1)
def routes() -> frozenset[tuple[str, str]]:
    """(method, path with * for each parameter) of the API and the pages."""
    from antivenom.server.app import create_site
    from antivenom.server.web.metrics import Metrics

    site = create_site(cast(Any, None), Metrics())
    paths = [(path, method.upper()) for path, methods in site.openapi()["paths"].items() for method in methods]
    paths += [
        (route.path, method)
        for route in site.router.routes
        for method in getattr(route, "methods", None) or ("GET",)
        if hasattr(route, "path")
    ]
    return frozenset((method, re.sub(r"\{[^}]*\}", "*", path)) for path, method in paths)


@lru_cache(maxsize=1)
def targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@lru_cache(maxsize=1)
def settings() -> frozenset[str]:
    from antivenom.server.settings import CLIENT_VARIABLES, list_settings

    known = {one.name for one in list_settings()} | set(CLIENT_VARIABLES)
    return frozenset(known | {f"{one.name}_FILE" for one in list_settings() if one.is_secret})


@lru_cache(maxsize=1)
def words_of_pages() -> frozenset[str]:
    """Macros and blocks of templates, classes, ids and `data-` attributes of pages."""
    named = re.compile(r"{%-? (?:macro|block) (\w+)|(data-[\w-]+)|(?:class|id)=\"([^\"{]*)|\.([a-z][\w-]+)")
    files = [name for name in committed() if name.endswith((".html", ".css"))]
    found = (hit for name in files for hit in named.findall((REPO / name).read_text(encoding="utf-8")))
    return frozenset(word for hit in found for part in hit for word in part.split())


@lru_cache(maxsize=1)
def words_of_styles() -> frozenset[str]:
    """Functions of CSS that our styles use."""
    styles = [name for name in committed() if name.endswith(".css")]
    return frozenset(
        w for name in styles for w in re.findall(r"([a-z-]+)\(", (REPO / name).read_text(encoding="utf-8"))
    )


# -- one span ----------------------------------------------------------------------------------------------------------


def find_unknown(text: str) -> list[str]:
    """What a page of Markdown names that does not exist, each with the reason."""
    found = []
    for _, language, code in BLOCK.findall(text):
        found += _check_python(code) if language == "python" else _check_console(code)
    for _, span in SPAN.findall(BLOCK.sub("", text)):
        code = " ".join(span.split())
        if problem := check_span(code):
            found.append(f"`{code}`: {problem}")
    return found


def check_span(code: str, foreign: frozenset[str] = FOREIGN) -> str | None:
    """Why a span of code is wrong; None when what it names exists, or when it names nothing of ours."""
    if code in foreign or "://" in code or re.fullmatch(r"[A-Z][a-z]*(-[A-Z][a-z]*)+", code):  # a header of HTTP
        return None
    first = code.split(" ")[0]
    if first in COMMANDS and " " in code:
        return _check_command(code)
    if found := SETTING.fullmatch(code):
        return None if found[1] in settings() else "no such setting"
    if found := ROUTE.fullmatch(code):
        return _check_route(found[1], found[2])
    if re.fullmatch(r"--[a-z][\w-]*", first):
        return None if first.split("=")[0] in options() else "no such option"
    if PATH.fullmatch(code) and ("/" in code or code.rsplit(".", 1)[-1] in EXTENSIONS):
        return _check_path(code)
    if found := CALL.fullmatch(code):
        return _check_call(found[1], found[2])
    if DOTTED.fullmatch(code):
        return None if code in sources().texts else _check_dotted(code)
    if WORD.fullmatch(code):
        return _check_word(code)
    if (found := KEYWORD.fullmatch(code)) and found[1] not in sources().words:
        return "no such keyword"
    return None


def _check_command(line: str) -> str | None:
    try:
        words = shlex.split(line.rstrip("\\ "), comments=True)
    except ValueError:
        return None
    program, *rest = words
    if program == "make":
        wrong = [word for word in rest if re.fullmatch(r"[a-z-]+", word) and word not in targets()]
        return f"no target {wrong[0]}" if wrong else None
    if program.endswith("antivenom"):
        return _check_antivenom(rest)
    if program.endswith("python"):
        if len(rest) > 1 and rest[0] == "-m":
            is_ours = rest[1].split(".")[0] in ("antivenom", "tests")
            return f"no module {rest[1]}" if is_ours and rest[1] not in sources().modules else None
        rest = rest[:1]
    wrong = [word for word in rest if "/" in word and _check_path(word)]
    return f"no file {wrong[0]}" if wrong else None


def _check_antivenom(words: list[str]) -> str | None:
    command, at = command_tree(), 0
    while at < len(words) and hasattr(command, "commands") and re.fullmatch(r"[a-z][a-z-]*", words[at]):
        if words[at] not in command.commands:
            return f"no command {words[at]}"
        command, at = command.commands[words[at]], at + 1
    known = {name for one in command.params for name in [*one.opts, *one.secondary_opts]} | {"--help"}
    wrong = [word for word in words[at:] if re.fullmatch(r"--?[a-z][\w-]*", word) and word not in known]
    return f"no option {wrong[0]}" if wrong else None


def _check_route(method: str | None, path: str) -> str | None:
    if path == "/" or path.startswith(("/conda/", "/t/", "/static/")):
        return None  # our own protocol answers these (docs/dev/serving.md)
    wanted = re.sub(r"\{[^}]*\}|<[^>]*>", "*", path.rstrip("…").split("?")[0]).rstrip("/") or "/"
    is_known = any((method or known[0], wanted) == known for known in routes())
    is_start = not method and any(known[1].startswith(f"{wanted}/") for known in routes())
    return None if is_known or is_start else "no such route"


def _check_path(path: str) -> str | None:
    """A path from the repository or from src/antivenom; a bare file name is any file's. <kind>, * and … stand for any."""
    wanted = re.sub(r"<[^>]*>|…", "*", path).rstrip("/")
    places = (wanted, f"src/antivenom/{wanted}")
    if any(fnmatchcase(known, place) for known in committed() for place in places):
        return None
    if path.endswith("/") and path.count("/") == 1 and any(wanted in Path(known).parts for known in committed()):
        return None
    if "/" not in path and (path in sources().texts or any(Path(known).name == path for known in committed())):
        return None
    if path in sources().texts or path.startswith("../shared/"):  # data beside the repository, which a clone has not
        return None
    start = wanted.split("*")[0]
    if start != wanted and {start, start.rstrip("/")} & sources().texts:
        return None  # a key of a blob
    ignored = (REPO / ".gitignore").read_text(encoding="utf-8").split()
    return None if any(f"/{wanted}/".startswith(rule) for rule in ignored) else "no such file"


def _check_call(head: str, arguments: str) -> str | None:
    names, last = sources(), head.rsplit(".", 1)[-1]
    if "." in head and (problem := _check_dotted(head)):
        return problem
    known = names.callables.get(".".join(head.split(".")[-2:])) or names.callables.get(last)
    if known is None:
        is_known = hasattr(builtins, last) or last in names.libraries or "." in head or last in words_of_styles()
        return None if is_known else f"no function or class {last}"
    if any(parameters is None for parameters in known):
        return None
    given = re.findall(r"(?:^|,)\s*\*{0,2}([a-z_]\w*)\s*(?:=|:(?!:))", _top_level(arguments))
    every = set().union(*(parameters for parameters in known if parameters))
    wrong = [name for name in given if name not in every]
    return f"{last} has no argument {wrong[0]}" if wrong else None


def _top_level(arguments: str) -> str:
    """The arguments without what stands in brackets or quotes inside them."""
    bare, before = re.sub(r"\"[^\"]*\"|'[^']*'", "_", arguments), ""
    while bare != before:
        before, bare = bare, re.sub(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}", "", bare)
    return bare


def _check_dotted(dotted: str) -> str | None:
    names, parts = sources(), dotted.split(".")
    for prefix in ("", "antivenom.", "antivenom.core.", "antivenom.server.", "antivenom.cli.", "tests."):
        for cut in range(len(parts), 0, -1):
            module = prefix + ".".join(parts[:cut])
            if module in names.modules and not (cut == 1 and parts[0] in names.classes):
                return _check_members(names, names.modules[module], parts[cut:], module)
    named = [own for module, own in names.modules.items() if module.endswith(f".{parts[0]}")]
    if any(_check_members(names, own, parts[1:], parts[0]) is None for own in named):
        return None
    if parts[0] in names.classes:
        return None if parts[1] in names.members(parts[0]) else f"{parts[0]} has no {parts[1]}"
    if parts[0] == "ui":
        return None if parts[1] in words_of_pages() else "no such macro"
    if parts[0] in names.libraries or parts[0] in sys.stdlib_module_names:
        return _check_library([*names.libraries.get(parts[0], parts[0]).split("."), *parts[1:]])
    is_member = any(parts[-1] in members for members in names.classes.values()) or parts[-1] in names.callables
    if parts[0] in names.words and is_member:
        return None  # a member of a value, such as ctx.session
    return "no such name"


def _check_members(names: Names, own: dict[str, str | None], rest: list[str], module: str) -> str | None:
    if not rest:
        return None
    if rest[0] not in own:
        return f"{module} has no {rest[0]}"
    kind = own[rest[0]] or (rest[0] if rest[0] in names.classes else None)
    if len(rest) > 1 and kind and rest[1] not in names.members(kind):
        return f"{kind} has no {rest[1]}"
    return None


def _check_library(parts: list[str]) -> str | None:
    try:
        value: Any = importlib.import_module(parts[0])
    except ImportError:
        return None
    for part in parts[1:]:
        try:
            value = getattr(value, part, None) or importlib.import_module(f"{value.__name__}.{part}")
        except (ImportError, AttributeError):
            return f"{parts[0]} has no {part}"
    return None


def _check_word(word: str) -> str | None:
    names = sources()
    word = word.removesuffix("_total") if word.startswith("antivenom_") else word  # Prometheus appends it
    if word in names.words or word in names.callables or word in names.classes or hasattr(builtins, word):
        return None
    looks_like_code = word[0].isupper() and not word.isupper() and "-" not in word
    if not looks_like_code and (word in names.texts or word in words_of_pages() or word in names.libraries):
        return None
    if f'"{word}' in (REPO / "pyproject.toml").read_text(encoding="utf-8"):
        return None
    if any(Path(known).stem == word for known in committed()):
        return None
    return "nothing has this name"


def _check_console(code: str) -> list[str]:
    found = []
    for line in code.replace("\\\n", " ").splitlines():
        command = re.sub(r"^\$ ", "", line.strip())
        if command.split(" ")[0] in COMMANDS and (problem := _check_command(command)):
            found.append(f"`{command}`: {problem}")
    return found


def _check_python(code: str) -> list[str]:
    """Imports of ours, and every call: to something that exists, or that the block defines."""
    names, found = sources(), []
    for module, imported in re.findall(r"^\s*from (antivenom[\w.]*) import ([\w, ]+)", code, re.MULTILINE):
        for name in re.split(r",\s*", imported.strip()):
            if module not in names.modules:
                found.append(f"`from {module} import {name}`: no such module")
            elif name not in names.modules[module] and f"{module}.{name}" not in names.modules:
                found.append(f"`from {module} import {name}`: {module} has no {name}")
    defined = set(re.findall(r"(?:def|class) (\w+)", code))
    bare = re.sub(r"#.*|\"[^\"\n]*\"|'[^'\n]*'", "", code)
    for head in re.findall(r"(?<![\w.])([A-Za-z_][\w.]*)\(", bare):
        last = head.rsplit(".", 1)[-1]
        is_known = head in defined or last in names.callables or hasattr(builtins, last) or last in names.libraries
        if not is_known and "." not in head:
            found.append(f"`{head}(…)`: no function or class {last}")
    return [*found, *_check_signatures(code)]


def _check_signatures(code: str) -> Iterator[str]:
    """Every `name(…) -> …` of a block: its words have to be the parameters of that name."""
    for head, arguments in re.findall(r"^(\w+)\(((?:[^()]|\([^()]*\))*)\) ->", code, re.MULTILINE):
        every: set[str] = set()
        for parameters in sources().callables.get(head, ()):
            every |= parameters or set()
        for one in _top_level(arguments).split(","):
            if (word := re.match(r"\s*([a-z_]\w*)", one)) and word[1] not in every:
                yield f"`{head}(…)`: {head} has no argument {word[1]}"
