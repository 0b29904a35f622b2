"""Renders pages: templates, the visitor, forms, and the state of a list in its address.

A page is `page(path, handler)`, a form's target is `action(path, handler, form=…)`. Handlers get the request and an
open Context, call services and return `render(…)` or a redirect; they decide nothing else. Rooms import this module and
it imports no room: the composition root puts the function that finds the visitor in `app.state.find_visitor`.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlencode, urlsplit

import jinja2
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from antivenom.core.errors import AntivenomError, ForbiddenError, InvalidInputError, TooLargeError
from antivenom.server.context import ANONYMOUS, Actor, Context, Resources
from antivenom.server.web.form_progress import stream_progress, wants_progress
from antivenom.server.web.leaving import while_connected

HERE = Path(__file__).parent.parent  # the rooms
STATIC = HERE / "static"
SIGN_IN = "/sign-in"
THEMES = {"light": "antivenom-light", "dark": "antivenom-dark"}
FLASH_COOKIE = "flash"
FORM_ERROR_STATUSES = (401, 409, 422)  # errors that the form itself shows, beside what was typed
FORM_BYTES_MAX = 2_000_000  # a policy text is the largest field of any form


class ChartRow(NamedTuple):
    """A row of a chart (`ui.chart`): its label, the tone of its colour ("" for that of the column), its values."""

    label: str
    tone: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Visitor:
    """The member who looks at a page, and the CSRF token that each of their forms must carry."""

    actor: Actor
    csrf: str


FindVisitor = Callable[[Request], Awaitable[Visitor | None]]
PageHandler = Callable[[Request, Context], Awaitable[Response]]
ActionHandler = Callable[[Request, Context, FormData], Awaitable[Response]]
WorkHandler = Callable[[Request, Actor, FormData], Coroutine[Any, Any, Any]]
FormHandler = Callable[[Request, Context, FormData, AntivenomError | None], Awaitable[Response]]


# -- the state of a list, as in its address ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListState:
    """What a list shows: path, search text, filters, order and page. `url` is the same list with changes.

    `filters` holds the named filters that are set, in the order in which the page declares them.
    """

    path: str
    q: str
    sort: str
    page: int
    page_size: int
    filters: tuple[tuple[str, str], ...]
    default_sort: str

    @classmethod
    def read(cls, request: Request, *, filters: tuple[str, ...] = (), sort: str = "", page_size: int = 50) -> ListState:
        """The state in the request's address. Ignores unknown parameters.

        Raises:
            InvalidInputError: `page` is not a number of at least 1.
        """
        query = request.query_params
        page = query.get("page", "1")
        if not re.fullmatch(r"[1-9][0-9]{0,6}", page):
            raise InvalidInputError(f"page {page!r} does not exist: pages count from 1", field="page")
        kept = tuple((name, query[name][:200]) for name in filters if query.get(name))
        return cls(
            path=request.url.path,
            q=query.get("q", "").strip()[:200],
            sort=query.get("sort", sort) or sort,
            page=int(page),
            page_size=page_size,
            filters=kept,
            default_sort=sort,
        )

    def filter(self, name: str, default: str = "") -> str:
        return dict(self.filters).get(name, default)

    def is_narrowed(self) -> bool:
        """Whether a search or a filter hides part of the list."""
        return bool(self.q or self.filters)

    def url(self, **changes: str | int | None) -> str:
        """The address of this list with changes. Any change other than `page` goes back to the first page."""
        values: dict[str, str | int | None] = {"q": self.q, **dict(self.filters), "sort": self.sort, "page": self.page}
        if set(changes) - {"page"}:
            values["page"] = 1
        values.update(changes)
        if values["sort"] == self.default_sort:
            values["sort"] = None
        if values["page"] == 1:
            values["page"] = None
        query = urlencode({name: value for name, value in values.items() if value not in (None, "")})
        return f"{self.path}?{query}" if query else self.path

    def cleared(self) -> str:
        """The address of the whole list, in the same order."""
        return replace(self, q="", filters=(), page=1).url()

    def sort_url(self, key: str, first: str = "") -> str:
        """The address that sorts by `key`, or reverses it if it already does. `first` "-" puts large values first."""
        other = {"": "-", "-": ""}[first]
        return self.url(sort=f"{other}{key}" if self.sort == f"{first}{key}" else f"{first}{key}")

    def aria_sort(self, key: str) -> str:
        """The aria-sort value of the column `key`: "ascending", "descending" or ""."""
        return {key: "ascending", f"-{key}": "descending"}.get(self.sort, "")


# -- words for numbers and times ---------------------------------------------------------------------------------------


def count(value: int) -> str:
    return f"{value:,}"


def size(value: int) -> str:
    """Bytes for people: "3.4 MB" (powers of 1000, like disks and conda)."""
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("unreachable")


def duration(seconds: float | None) -> str:
    """A duration in the largest unit that gives a whole number: "1 h", "90 min", "2 d"."""
    if not seconds:
        return "never"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def ago(at: datetime | None, now: datetime) -> str:
    """The time since (or until) `at`: "just now", "5 min ago", "in 2 h"; a date beyond 30 days."""
    if at is None:
        return "never"
    delta = now - at
    past, distance = delta >= timedelta(0), abs(delta)
    if distance > timedelta(days=30):
        return at.astimezone(UTC).strftime("%Y-%m-%d")
    seconds = int(distance.total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            words = f"{seconds // length} {unit}"
            return f"{words} ago" if past else f"in {words}"
    return "just now" if past else "in a moment"


def choices(counts: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """Options of a filter, (value, label, count), from the count of each value."""
    return [(value, value, number) for value, number in counts.items()]


def parse_time(value: datetime | str | int | float | None) -> datetime | None:
    """A time from a datetime, an RFC 3339 text or milliseconds since 1970; None when it is none of these."""
    if value is None or value == "" or value == 0 or isinstance(value, datetime):
        return value if isinstance(value, datetime) else None
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            return at if at.tzinfo else at.replace(tzinfo=UTC)
        return datetime.fromtimestamp(value / 1000, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None


# -- templates ---------------------------------------------------------------------------------------------------------


def asset(name: str) -> str:
    """The address of a built file, with its digest, so that browsers may cache it for ever."""
    return f"/static/{name}?v={_manifest().get(name, 'dev')}"


@cache
def _manifest() -> dict[str, str]:
    path = STATIC / "manifest.json"
    return json.loads(path.read_text()) if path.exists() else {}


@cache
def environment() -> jinja2.Environment:
    """The template environment: `server/templates/` at the root, each room's templates under the room's name."""
    rooms = {folder.parent.name: jinja2.FileSystemLoader(folder) for folder in sorted(HERE.glob("*/templates"))}
    env = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.FileSystemLoader(HERE / "templates"), jinja2.PrefixLoader(rooms)]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        choices=choices,
        count=count,
        size=size,
        duration=duration,
        time=parse_time,
        path=lambda text: quote(text, safe=""),
        capitalize_first=lambda text: text[:1].upper() + text[1:],
    )
    env.globals.update(asset=asset)
    return env


def is_partial(request: Request) -> bool:
    """Whether htmx asks for one region of the page, not for the whole page (as it does when going back)."""
    headers = request.headers
    return headers.get("hx-request-type") == "partial" and headers.get("hx-history-restore-request") != "true"


def render_text(template: str, values: Mapping[str, Any], *, block: str = "", now: datetime, csrf: str = "") -> str:
    """A rendered template, or one block of it. Templates find the macros of components.html in `ui`."""
    env = environment()
    shared = {"now": now, "csrf": csrf, "ago": lambda at: ago(at, now)}
    everything = {**shared, "ui": env.get_template("components.html").make_module(shared), **values}
    found = env.get_template(template)
    if not block:
        return found.render(everything)
    context = found.new_context(everything)
    return "".join(found.blocks[block](context))


def render(
    request: Request, ctx: Context, template: str, *, partial: str = "", status: int = 200, **values: Any
) -> HTMLResponse:
    """The response with a page; when htmx asks for a region, with the block `partial` alone."""
    block = partial if partial and is_partial(request) else ""
    base_url = ctx.resources.settings.public_url or str(request.base_url).rstrip("/")
    return _respond(request, template, {"base_url": base_url, **values}, block=block, status=status, now=ctx.now)


def render_error(request: Request, error: AntivenomError, now: datetime) -> HTMLResponse:
    """The page for an error. Needs no transaction, so it works while the database is down."""
    return _respond(request, "error.html", {"error": error}, block="", status=error.status, now=now)


def _respond(
    request: Request, template: str, values: Mapping[str, Any], *, block: str, status: int, now: datetime
) -> HTMLResponse:
    visitor: Visitor | None = getattr(request.state, "visitor", None)
    flash = request.cookies.get(FLASH_COOKIE, "")
    shared = {
        "request": request,
        "path": request.url.path,
        "visitor": visitor,
        "theme": THEMES.get(request.cookies.get("theme", ""), ""),
        "flash": _read_flash(flash),
    }
    text = render_text(template, {**shared, **values}, block=block, now=now, csrf=visitor.csrf if visitor else "")
    response = HTMLResponse(text, status_code=status, headers={"cache-control": "no-store", "vary": "HX-Request"})
    if flash and not block:
        response.delete_cookie(FLASH_COOKIE)
    return response


def redirect(url: str, *, flash: str = "", tone: str = "go") -> Response:
    """A 303 redirect; the next page shows `flash` once."""
    response = RedirectResponse(url, status_code=303, headers={"cache-control": "no-store"})
    if flash:
        response.set_cookie(FLASH_COOKIE, quote(f"{tone}|{flash}"), max_age=60, httponly=True, samesite="lax")
    return response


def _read_flash(cookie: str) -> tuple[str, str] | None:
    tone, found, text = unquote(cookie).partition("|")
    return (tone if tone in ("go", "medium", "critical") else "go", text[:500]) if found else None


# -- routes ------------------------------------------------------------------------------------------------------------


def page(path: str, handler: PageHandler, *, signed_in: bool = True) -> Route:
    """A GET route whose handler runs in one transaction. Errors become pages; anonymous visitors have to sign in."""

    async def answer(request: Request) -> Response:
        async def run(ctx: Context) -> Response:
            return await handler(request, ctx)

        return await _answer(request, run, signed_in=signed_in)

    return Route(path, answer, methods=["GET"], name=handler.__name__)


def action(
    path: str,
    handler: ActionHandler,
    *,
    form: FormHandler | None = None,
    work: WorkHandler | None = None,
    signed_in: bool = True,
) -> Route:
    """A POST route that checks the origin of the form, then runs its handler in one transaction.

    What takes long is `work`, which runs before, without a transaction, and ends when the client goes away; the handler
    finds what it returned in `request.state.result`.

    When the handler rejects the input, everything is rolled back and `form` shows what was typed with the reason. A
    handler that takes seconds reports its progress to `form_progress.progress_reporter(request)`.
    """

    async def answer(request: Request) -> Response:
        values = FormData()

        async def prepare() -> None:
            nonlocal values
            _check_origin(request)
            values = await _read_form(request)
            if signed_in:
                _check_csrf(request, values)

        async def do_work(actor: Actor) -> None:
            if work is not None:
                request.state.result = await while_connected(request, work(request, actor, values))

        async def run(ctx: Context) -> Response:
            return await handler(request, ctx, values)

        async def show_form(ctx: Context, error: AntivenomError) -> Response:
            return await form(request, ctx, values, error) if form else render_error(request, error, ctx.now)

        async def respond() -> Response:
            return await _answer(request, run, signed_in=signed_in, prepare=prepare, work=do_work, show_form=show_form)

        return await (stream_progress(request, respond) if wants_progress(request) else respond())

    return Route(path, answer, methods=["POST"], name=handler.__name__)


async def _answer(
    request: Request,
    run: Callable[[Context], Awaitable[Response]],
    *,
    signed_in: bool,
    prepare: Callable[[], Awaitable[None]] | None = None,
    work: Callable[[Actor], Awaitable[None]] | None = None,
    show_form: Callable[[Context, AntivenomError], Awaitable[Response]] | None = None,
) -> Response:
    """The response of `run` in one transaction. `prepare` runs before, so that a slow upload holds no connection."""
    resources: Resources = request.app.state.resources
    visitor: Visitor | None = await request.app.state.find_visitor(request)
    request.state.visitor = visitor
    if signed_in and visitor is None:
        return _to_sign_in(request)
    actor = visitor.actor if visitor else ANONYMOUS
    try:
        if prepare:
            await prepare()
        if work:
            await work(actor)
        async with resources.context(actor) as ctx:
            return await run(ctx)
    except AntivenomError as error:
        failure = error
    if show_form and failure.status in FORM_ERROR_STATUSES:
        async with resources.context(actor) as ctx:
            return await show_form(ctx, failure)
    return render_error(request, failure, resources.clock())


def _to_sign_in(request: Request) -> Response:
    back = _page_looked_at(request)
    target = SIGN_IN if back == "/" else f"{SIGN_IN}?{urlencode({'next': back})}"
    if request.headers.get("hx-request"):
        return Response(status_code=204, headers={"hx-redirect": target})
    flash = "" if request.method == "GET" else "Your session had ended, so nothing was changed."
    return redirect(target, flash=flash, tone="medium")


def _page_looked_at(request: Request) -> str:
    """The address of the page in the visitor's window (not that of a form's target or of a region)."""
    window = request.headers.get("hx-current-url", "")
    if request.method != "GET":
        window = window or request.headers.get("referer", "/")
    url = urlsplit(window) if window else request.url
    return safe_next(url.path + (f"?{url.query}" if url.query else ""))


def safe_next(text: str) -> str:
    """`text` if it is a path of this server; "/" for anything else (other hosts, schemes, "//host", backslashes)."""
    return text if re.fullmatch(r"/(?![/\\])[^\\\x00-\x20]*", text) else "/"


async def _read_form(request: Request) -> FormData:
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > FORM_BYTES_MAX:
        raise TooLargeError("the form is larger than 2 MB", hint="use the command line for a policy of that size")
    return await request.form(max_files=1, max_fields=200, max_part_size=FORM_BYTES_MAX)


def _check_origin(request: Request) -> None:
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ForbiddenError("the form was sent from another site", hint="open the page here and send it again")


def _check_csrf(request: Request, values: FormData) -> None:
    visitor: Visitor = request.state.visitor
    given = values.get("csrf")
    if not isinstance(given, str) or not secrets.compare_digest(given.encode(), visitor.csrf.encode()):
        raise ForbiddenError("the form is older than your session", hint="go back, reload the page and send it again")
