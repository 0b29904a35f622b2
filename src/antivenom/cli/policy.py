"""`antivenom policy`: check a policy, see what it would change, put a channel under it, look back."""

from __future__ import annotations

from typing import Annotated

import typer

from antivenom.cli.arguments import OutputOption, parse_name, read_text
from antivenom.cli.client import JsonObject, client
from antivenom.cli.output import Output, count_of, emit, note
from antivenom.core.errors import InvalidInputError
from antivenom.core.policy.compile import Policy, parse_policy

commands = typer.Typer(no_args_is_help=True)

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="A policy in YAML or JSON; - reads standard input.")]
NameArgument = Annotated[str | None, typer.Argument(metavar="[NAME]", parser=parse_name, help="The policy's name.")]
ChannelOption = Annotated[
    str | None,
    typer.Option(
        "--channel", "-c", metavar="CHANNEL", parser=parse_name, help="The policy that this channel is under."
    ),
]


@commands.command("check")
def check(file: FileArgument, output: OutputOption = Output.table) -> None:
    """Check a policy; needs no server. Exit code 2 if it has problems."""
    try:
        policy = parse_policy(read_text(file))
    except InvalidInputError as error:
        problems = error.data.get("problems")
        if problems is None:
            raise
        report_problems(file, problems, output)
        raise typer.Exit(InvalidInputError.exit_code) from None
    if output is Output.json:
        emit({"valid": True, "name": policy.name, "rules": len(policy.rules), "problems": []}, None, output)
    else:
        note(f"{file}: policy {policy.name} is valid: {describe(policy)}", to_stdout=True)


def report_problems(file: str, problems: list[JsonObject], output: Output) -> None:
    """Print each problem as compilers do, so that editors can jump to it."""
    if output is Output.json:
        emit({"valid": False, "file": file, "problems": problems}, None, output)
        return
    for problem in problems:
        field = f" ({problem['field']})" if problem["field"] else ""
        note(f"{file}:{problem['line']}:{problem['column']}: {problem['message']}{field}")
        if problem["hint"]:
            note(f"  hint: {problem['hint']}")
    note(count_of(len(problems), "problems"))


@commands.command("plan")
def plan(
    file: FileArgument,
    channel: Annotated[
        str, typer.Option("--channel", "-c", metavar="CHANNEL", parser=parse_name, help="The channel's name.")
    ],
    output: OutputOption = Output.table,
) -> None:
    """Show what a policy would withhold or release on a channel, by rule; nothing is changed."""
    text = checked_text(file)
    answer = client().post(f"/api/v1/channels/{channel}/policy/plan", json={"text": text})
    if output is Output.json:
        emit(answer, None, output)
        return
    rows = [{"rule": rule, **counts} for rule, counts in sorted(answer["by_rule"].items())]
    emit(rows, ("rule", "withheld", "released"), output)
    for word in ("withheld", "released"):
        total = answer["counts"].get(word, len(answer[word]))
        note(f"{count_of(total, 'records')} would be {word}" + (", such as:" if answer[word] else ""), to_stdout=True)
        for row in answer[word][:20]:
            why = f": {row['reasons'][0]['message']}" if row.get("reasons") else ""
            note(f"  {row['subdir']}/{row['fn']}{why}", to_stdout=True)
    note(f"apply it with: antivenom policy set {file} --channel {channel}")


@commands.command("set")
def set_(
    file: FileArgument,
    channel: Annotated[
        str | None,
        typer.Option(
            "--channel", "-c", metavar="CHANNEL", parser=parse_name, help="The channel to put under the policy."
        ),
    ] = None,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="Every channel under a policy of that name.")
    ] = False,
    output: OutputOption = Output.table,
) -> None:
    """Put a channel under a policy, or edit a policy for all its channels. They are republished at once."""
    if bool(channel) == everywhere:
        raise InvalidInputError(
            "which channels?", hint="give --channel C, or --everywhere for all that are under the policy"
        )
    text = checked_text(file)
    if everywhere:
        answer = client().put("/api/v1/policies", json={"text": text})
        names = ", ".join(answer["channels"]) or "no channel yet"
        note(f"policy {answer['policy']}, revision {answer['revision']}, now holds for {names}")
    else:
        answer = client().put(f"/api/v1/channels/{channel}/policy", json={"text": text})
        note(f"channel {channel} is under policy {answer['policy']}, revision {answer['revision']}")
    if output is Output.json:
        emit(answer, None, output)


@commands.command("list")
def list_policies(output: OutputOption = Output.table) -> None:
    """List the policies."""
    columns = ("name", "revision", "rules", "allowlist", "revised_at", "revised_by")
    emit(client().list_items("/api/v1/policies"), columns, output)


@commands.command("show")
def show(
    name: NameArgument = None,
    channel: ChannelOption = None,
    revision: Annotated[int | None, typer.Option(help="Its number; the latest when absent.")] = None,
    output: OutputOption = Output.table,
) -> None:
    """Print the text of a policy."""
    if channel and not name:
        attached = channel_policy(channel)
        name, revision = attached["policy"], revision or attached["revision"]
    if not name:
        raise InvalidInputError("which policy?", hint="give its NAME, or --channel C")
    params = {"revision": revision} if revision else {}
    answer = client().get(f"/api/v1/policies/{name}", params=params)
    if output is Output.json:
        emit(answer, None, output)
    else:
        print(answer["text"], end="")  # as it is: people write it to a file


@commands.command("history")
def history(
    name: NameArgument = None,
    channel: ChannelOption = None,
    output: OutputOption = Output.table,
) -> None:
    """List the revisions of a policy, the newest first; of every policy when none is named."""
    if channel and not name:
        name = channel_policy(channel)["policy"]
    names = [name] if name else [row["name"] for row in client().list_items("/api/v1/policies")]
    rows = (
        {"policy": policy, **row}
        for policy in names
        for row in client().list_items(f"/api/v1/policies/{policy}/revisions")
    )
    emit(rows, ("policy", "number", "created_at", "created_by", "rules", "allowlist"), output)


def channel_policy(channel: str) -> JsonObject:
    """The policy a channel is under.

    Raises:
        InvalidInputError: It is under none.
    """
    answer: JsonObject = client().get(f"/api/v1/channels/{channel}/policy")
    if not answer["policy"]:
        raise InvalidInputError(
            f"channel {channel} is under no policy", hint=f"set one with: antivenom policy set FILE --channel {channel}"
        )
    return answer


def checked_text(file: str) -> str:
    """The text of a valid policy file; problems of another are reported as `policy check` does."""
    text = read_text(file)
    try:
        parse_policy(text)
    except InvalidInputError as error:
        if error.data.get("problems") is None:
            raise
        report_problems(file, error.data["problems"], Output.table)
        raise typer.Exit(InvalidInputError.exit_code) from None
    return text


def describe(policy: Policy) -> str:
    """How many rules and exceptions a policy has."""
    return f"{count_of(len(policy.rules), 'rules')}, {count_of(len(policy.allowlist), 'exceptions')}"
