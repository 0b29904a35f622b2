"""Writes the reference pages that are facts of the code: settings, error codes, commands, API.

`make reference` runs it; tests/test_house.py fails when a page is not what the code says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast, get_args, get_origin, get_type_hints

import typer
from msgspec import UnsetType

from antivenom.cli.main import create_app
from antivenom.core import errors
from antivenom.core.matching.advisories import Evidence, Finding
from antivenom.core.reports import as_json
from antivenom.server.app import create_site
from antivenom.server.settings import CLIENT_VARIABLES, list_settings
from antivenom.server.web.metrics import Metrics

FOLDER = Path(__file__).parent.parent / "reference"
NOTE = "<!-- Written by `make reference` from the code. -->\n"


def settings_page() -> str:
    lines = [
        "# Settings",
        "",
        "Environment variables configure everything. One that holds a secret can also be read from the file that the",
        "same name with `_FILE` at its end names. All problems are reported together at the start.",
        "",
        "| variable | value | default | what it does |",
        "|---|---|---|---|",
    ]
    for setting in list_settings():
        secret = " *(secret: `_FILE` works too)*" if setting.is_secret else ""
        default = f"`{setting.default}`" if setting.default else ""
        lines.append(f"| `{setting.name}` | {setting.kind} | {default} | {_cell(setting.meaning)}{secret} |")
    lines += ["", "## Read by the command line alone", "", "| variable | what it does |", "|---|---|"]
    lines += [f"| `{name}` | {_cell(meaning)} |" for name, meaning in CLIENT_VARIABLES.items()]
    return _page(lines)


def errors_page() -> str:
    lines = [
        "# Error codes",
        "",
        "The API answers errors as `application/problem+json` (RFC 9457): `code` is the code, `detail` says what",
        "happened, `hint` says what helps. The command line prints both and exits with the exit code: 1 a policy says",
        "stop, 2 wrong use or input, 3 a server or the network failed.",
        "",
        "| code | HTTP status | exit code | meaning |",
        "|---|---|---|---|",
    ]
    for error in sorted(_error_classes(errors.AntivenomError), key=lambda e: e.code):
        meaning = " ".join((error.__doc__ or "").split("\n\n")[0].split())
        lines.append(f"| `{error.code}` | {error.status} | {error.exit_code} | {_cell(meaning)} |")
    return _page(lines)


def _error_classes(base: type[errors.AntivenomError]) -> Iterator[type[errors.AntivenomError]]:
    """The base and every class below it that has a code of its own."""
    if "code" in base.__dict__:
        yield base
    for child in base.__subclasses__():
        yield from _error_classes(child)


def commands_page() -> str:
    lines = [
        "# Commands",
        "",
        "Every listing has `--output table|json`; JSON goes to stdout alone. Exit codes: 0 fine, 1 a policy says stop,",
        "2 wrong use or input, 3 a server or the network failed. `ANTIVENOM_URL` and `ANTIVENOM_TOKEN` choose the",
        "server; on the machine of an embedded server neither is needed.",
    ]
    root = cast(Any, typer.main.get_command(create_app()))
    for name, command in root.commands.items():
        lines += _describe(f"antivenom {name}", command, level=2)
    return _page(lines)


def _describe(path: str, command: Any, level: int) -> Iterator[str]:
    yield ""
    yield f"{'#' * level} `{path}`"
    yield ""
    yield _prose(command.help or "")
    for name, child in getattr(command, "commands", {}).items():
        yield from _describe(f"{path} {name}", child, level + 1)
    parameters = [p for p in getattr(command, "params", ()) if p.name != "help"]
    if parameters and not hasattr(command, "commands"):
        yield ""
        yield "| argument or option | meaning |"
        yield "|---|---|"
        for parameter in parameters:
            is_option = parameter.param_type_name == "option"
            name = ", ".join(parameter.opts) if is_option else str(parameter.metavar or parameter.name).upper()
            yield f"| `{_cell(name)}` | {_cell(parameter.help or '')} |"


def api_page() -> str:
    site = create_site(cast(Any, None), Metrics())
    document = site.openapi()
    lines = [
        "# API",
        "",
        "JSON over HTTP below `/api/v1`; the server describes it as OpenAPI 3.1 at `/api/openapi.json` (for whoever",
        "signs in, or for everybody with `ANTIVENOM_OPENAPI_PUBLIC=yes`). Sign in with",
        "`Authorization: Bearer TOKEN` (`antivenom token create`). Listings answer",
        '`{"items": […], "total": n, "page": 1, "page_size": 50}`; errors are described under',
        "[error codes](errors.md).",
        "",
        "| method | path | what it does |",
        "|---|---|---|",
    ]
    for path, operations in sorted(document["paths"].items()):
        for method, operation in operations.items():
            text = operation.get("description") or operation.get("summary", "")
            lines.append(f"| {method.upper()} | `{path}` | {_cell(_prose(text.split(chr(10) + chr(10))[0]))} |")
    return _page(lines)


SCAN_FORMS = (
    as_json.ScanResult, as_json.SnapshotResult, as_json.ComponentResult, Finding, Evidence, as_json.StatementResult,
    as_json.PolicyResult, as_json.ReasonResult, as_json.SkippedResult, as_json.ChangesResult, as_json.PackageResult,
    as_json.ChangeResult,
)  # fmt: skip


def scan_page() -> str:
    lines = [
        "# The JSON of a scan",
        "",
        "`antivenom scan --output json` writes a *Scan*, `--diff` with it *Changes*.",
        f"`version` is {as_json.FORM_VERSION} now; it grows when a member goes or means something else.",
        "Members that come are no new version: pass over those that you do not know.",
    ]
    for form in SCAN_FORMS:
        lines += ["", f"## {_form_name(form)}", "", *_doc_paragraphs(form), "", "| member | |", "|---|---|"]
        hints = get_type_hints(form)
        lines += [f"| `{name}` | {_type_name(hints[name])} |" for name in form.__struct_fields__]
    return _page(lines)


def _form_name(form: type) -> str:
    return form.__name__.removesuffix("Result")


def _doc_paragraphs(form: type) -> list[str]:
    return [_prose(text) for part in (form.__doc__ or "").split("\n\n") for text in ("", part)][1:]


def _type_name(hint: Any) -> str:
    """A type as people say it: text, number, yes or no, a list of something; "absent" for what may not be there."""
    arguments = get_args(hint)
    if get_origin(hint) is tuple:
        return f"list of {_type_name(arguments[0])}"
    if arguments:
        return " or ".join(map(_type_name, arguments))
    plain = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        type(None): "null",
        UnsetType: "absent",
    }
    if hint in plain:
        return plain[hint]
    return "text" if issubclass(hint, str) else f"[{_form_name(hint)}](#{_form_name(hint).lower()})"


def _page(lines: list[str]) -> str:
    title, *rest = lines
    return "\n".join([title, "", NOTE.strip(), *rest]) + "\n"


def _prose(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _prose(text).replace("|", "\\|").replace("<", "&lt;")


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "cli.md": commands_page,
    "api.md": api_page,
    "scan-json.md": scan_page,
}

if __name__ == "__main__":
    for name, write in PAGES.items():
        (FOLDER / name).write_text(write(), encoding="utf-8")
