"""The argument and the options of `antivenom scan`."""

from __future__ import annotations

from typing import Annotated

import typer

from antivenom.cli.scan_output import Format, SbomFormat
from antivenom.core.readers.registry import KINDS
from antivenom.core.reports.result import FAIL_ON

Targets = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TARGET]...", help="Files, environments, folders of them, or - for standard input."),
]
Name = Annotated[str, typer.Option("--name", "-n", help="A conda environment by its name.")]
Prefix = Annotated[str, typer.Option("--prefix", "-p", help="An environment by its folder.")]
KindOfTargets = Annotated[str, typer.Option("--as", help=f"What the targets are: {', '.join(KINDS)}.")]
Solve = Annotated[
    str, typer.Option("--solve", metavar="CHANNEL", help="Resolve what is only asked for, from this channel.")
]
Platform = Annotated[str, typer.Option("--platform", help="Of --solve, such as linux-64; else this machine's.")]
FailOn = Annotated[
    list[str] | None, typer.Option("--fail-on", help=f"Exit with 1 on these findings: {', '.join(FAIL_ON)}.")
]
Baseline = Annotated[
    str, typer.Option("--baseline", metavar="FILE", help="Leave out what this earlier scan (json) found already.")
]
Diff = Annotated[
    bool, typer.Option("--diff", help="Compare two targets, OLD NEW: packages, and findings that came and went.")
]
Explain = Annotated[
    str, typer.Option("--explain", metavar="ID", help="Instead of the scan: why this vulnerability is found.")
]
Since = Annotated[
    str, typer.Option("--since", metavar="REF", help="Only files that git says changed since then, and what is new.")
]
Write = Annotated[
    list[str] | None,
    typer.Option("--write", metavar="FORMAT=FILE", help="Also write the scan to a file, in a format of --output."),
]
SbomOut = Annotated[str, typer.Option("--sbom-out", metavar="FILE", help="Also write what was scanned as an SBOM.")]
SbomKind = Annotated[
    SbomFormat | None, typer.Option("--sbom-format", help="Of --sbom-out; spdx for *.spdx.json, else cyclonedx.")
]
Advisories = Annotated[str, typer.Option("--advisories", metavar="FILE", help="Ask this advisory file, and no server.")]
FixChannel = Annotated[
    str, typer.Option("--channel", "-c", metavar="NAME", help="The server's channel that shall have the fixes.")
]
Server = Annotated[str, typer.Option("--server", metavar="URL", help="Ask this server, and no advisory file.")]
PolicyName = Annotated[
    str, typer.Option("--policy", metavar="FILE|NAME", help="Judge by a policy: a file, or one of the server's.")
]
Vex = Annotated[
    list[str] | None,
    typer.Option("--vex", metavar="FILE", help="What is known not to affect: OpenVEX, CycloneDX or CSAF."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 2 if anything could not be read.")]
OutputFormat = Annotated[Format, typer.Option("--output", "-o", help="table for people; the others for tools.")]
