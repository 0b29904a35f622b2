"""What every test may ask for: a real PostgreSQL, resources, contexts, the application, a whole running server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, settings

from antivenom.server.adapters.cpu import CpuPool
from antivenom.server.adapters.postgres import ROLE, EmbeddedPostgres
from antivenom.server.context import LOCAL, Context, Resources, open_resources
from antivenom.server.settings import load_settings
from tests.scheduling import GroupScheduling, turn_of
from tests.waiting import wait_until

REPO = Path(__file__).resolve().parent.parent
SHARED = REPO.parent / "shared"
# Processes that tests start run the code beside the tests, as the tests do (`pythonpath` of pyproject.toml).
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(REPO / "src"), str(REPO / "client" / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
)
ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")
TEMPLATE = "antivenom_template"

# A law is about results; how long one example takes on a busy machine says nothing about it.
settings.register_profile(
    "antivenom",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
)
settings.load_profile("antivenom")


# -- a skipped test is a failure in CI, unless the list says why it may be --------------------------------------------


def _allowed_skips() -> list[str]:
    lines = ALLOWED_SKIPS.read_text().splitlines()
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


def _refuse_skip(report: Any) -> Any:
    is_listed = any(report.nodeid.startswith(allowed) for allowed in _allowed_skips())
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail") and not is_listed:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"skipped in CI ({reason}); tests/allowed_skips.txt lists what may be"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    return _refuse_skip((yield))


# -- two processes -----------------------------------------------------------------------------------------------------


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # a process of pytest-xdist
        items.sort(key=turn_of)


# -- PostgreSQL: one server for the session, one database for each test, copied from a migrated one -------------------


def _readable_folder(name: str) -> Path:
    """A temporary folder that another user may enter: as root, PostgreSQL runs as one."""
    folder = Path(tempfile.mkdtemp(prefix=f"antivenom-{name}-"))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    home = _readable_folder("tests")
    fast = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}
    server = EmbeddedPostgres(home, options=fast)
    server.start()
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def _url_of(server: EmbeddedPostgres, database: str) -> str:
    return server.url.replace("@/postgres?", f"@/{database}?")


def _execute(server: EmbeddedPostgres, statement: str) -> None:
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def migrated_template(postgres: EmbeddedPostgres) -> str:
    from antivenom.server.migrations import migrate

    _execute(postgres, f"CREATE DATABASE {TEMPLATE}")
    migrate(_url_of(postgres, TEMPLATE))
    return TEMPLATE


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """A migrated database of this test's own."""
    name = f"test_{uuid.uuid4().hex}"
    _execute(postgres, f"CREATE DATABASE {name} TEMPLATE {migrated_template} STRATEGY file_copy")
    yield _url_of(postgres, name)
    _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


# -- what services need ------------------------------------------------------------------------------------------------


@pytest.fixture
def settings_environment() -> dict[str, str]:
    """ANTIVENOM_ variables for `resources`; a test module overrides this fixture to change them."""
    return {"ANTIVENOM_OUTBOUND_ALLOW": "127.0.0.1,localhost", "ANTIVENOM_OUTBOUND_ATTEMPTS": "2"}


@pytest.fixture(scope="session")
def heavy_work() -> Iterator[CpuPool]:
    """The child process for heavy work: one for all tests, because starting one takes longer than most tests."""
    pool = CpuPool(1)
    yield pool
    asyncio.run(pool.close())


@pytest.fixture
async def resources(
    database_url: str, tmp_path: Path, settings_environment: dict[str, str], heavy_work: CpuPool
) -> AsyncIterator[Resources]:
    environment = {
        "ANTIVENOM_HOME": str(tmp_path / "home"),
        "ANTIVENOM_DATABASE_URL": database_url,
    } | settings_environment
    settings = load_settings(environment)
    settings.home.mkdir()
    async with open_resources(settings) as opened:
        opened.cpu = opened.publishing_cpu = opened.checks = heavy_work
        opened.previews = opened.judgements = opened.plans = opened.archives = heavy_work
        yield opened


@pytest.fixture
async def ctx(resources: Resources) -> AsyncIterator[Context]:
    """One transaction of the local administrator, open for the whole test."""
    async with resources.context(LOCAL) as context:
        yield context


RunJobs = Callable[..., Awaitable[list[tuple[str, BaseException]]]]


@pytest.fixture
def run_jobs() -> RunJobs:
    """`await run_jobs(resources)`: run every job that is due, until none is; periodic ones are left out.

    Answers what failed as (job, error). An error that is none of ours fails the test, unless `tolerate` has its class.
    """

    async def drain(
        resources: Resources, *, tolerate: tuple[type[BaseException], ...] = ()
    ) -> list[tuple[str, BaseException]]:
        from antivenom.core.errors import AntivenomError
        from antivenom.server import rooms
        from antivenom.server.events.queue import open_queue, run_worker

        list(rooms.load("jobs"))
        failures: list[tuple[str, BaseException]] = []
        async with open_queue(resources) as app:
            await run_worker(
                app,
                jobs_at_once=1,
                wait=False,
                patience_s=10,
                on_failure=lambda name, error: failures.append((name, error)),
            )
        for _, error in failures:
            if not isinstance(error, (AntivenomError, *tolerate)):
                raise error
        return failures

    return drain


@pytest.fixture
async def app(resources: Resources) -> AsyncIterator[Any]:
    """The whole ASGI application, with its background parts running."""
    from antivenom.server.app import Application

    async with Application(resources).running() as application:
        yield application


@pytest.fixture
def local_token(resources: Resources) -> str:
    """The token of the local administrator, as `antivenom up` writes it."""
    from antivenom.server.home import write_local_token

    return write_local_token(resources.settings.home)


@pytest.fixture
async def anonymous_client(app: Any) -> AsyncIterator[Any]:
    """An HTTP client of the application that sends no credentials."""
    import httpx2

    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://antivenom.test") as client:
        yield client


@pytest.fixture
async def app_client(app: Any, local_token: str) -> AsyncIterator[Any]:
    """An HTTP client of the application for the local administrator."""
    import httpx2

    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {local_token}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://antivenom.test", headers=headers) as client:
        yield client


# -- a whole server ----------------------------------------------------------------------------------------------------


@dataclass
class RunningServer:
    """One `antivenom up` in a home of its own."""

    home: Path
    process: subprocess.Popen[bytes]
    url: str

    @property
    def token(self) -> str:
        return (self.home / "local-token").read_text().strip()

    @property
    def database_url(self) -> str:
        """The server's own PostgreSQL."""
        folder = (self.home / "socket-folder").read_text()
        return f"postgresql://{ROLE}@/postgres?host={quote(folder, safe='')}"

    @property
    def environment(self) -> dict[str, str]:
        """For commands of the CLI that shall talk to this server."""
        return {**_clean_environment(), "ANTIVENOM_HOME": str(self.home)}

    def cli(
        self, *arguments: str | Path, check: bool = True, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [*ANTIVENOM, *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, cwd=cwd)
        if check and done.returncode != 0:
            raise AssertionError(f"antivenom {' '.join(map(str, arguments))} exited {done.returncode}:\n{done.stderr}")
        return done

    def log_text(self) -> str:
        """All that it said."""
        return (self.home.parent / f"{self.home.name}.out").read_text(errors="replace")

    def stop(self) -> int:
        """Ask it to stop and wait until it has; its exit code."""
        self.process.terminate()
        try:
            return self.process.wait()
        except BaseException:  # the test's time is up
            self.process.kill()
            raise


ANTIVENOM = (sys.executable, "-m", "antivenom")


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ANTIVENOM_")}


def launch_server(home: Path, *options: str, folder: Path | None = None, **settings: str) -> RunningServer:
    """Start `antivenom up --port 0` in a home and wait for its first 200.

    Args:
        folder: The working directory; ours when None.
        settings: ANTIVENOM_ variables by their lower-case names without the prefix.
    """
    environment = _clean_environment() | {"ANTIVENOM_OUTBOUND_ALLOW": "127.0.0.1,localhost"}
    environment |= {f"ANTIVENOM_{name.upper()}": value for name, value in settings.items()}
    command = [*ANTIVENOM, "up", "--home", str(home), "--port", "0", *options]
    output = (home.parent / f"{home.name}.out").open("wb")
    process = subprocess.Popen(
        command, env=environment, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=folder
    )
    output.close()

    def look() -> str:
        assert process.poll() is None, f"the server did not start:\n{Path(output.name).read_text()}"
        return _address_of(home, process.pid)

    try:
        return RunningServer(home, process, wait_until(look))
    except BaseException:
        process.kill()
        process.wait()
        raise


def _address_of(home: Path, pid: int) -> str:
    """Where that server answers; empty while it does not."""
    with contextlib.suppress(OSError, ValueError):
        facts = json.loads((home / "server.json").read_text())
        if facts["pid"] == pid:
            with urllib.request.urlopen(f"{facts['url']}/healthz"):
                return str(facts["url"])
    return ""


@pytest.fixture
def new_home() -> Iterator[Path]:
    """The path of a home that does not exist yet, below a folder that every user may enter."""
    folder = _readable_folder("home")
    yield folder / "home"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def up_server() -> Iterator[RunningServer]:
    """One real `antivenom up --no-demo` for all tests that need a whole server; use channel names of your own."""
    folder = _readable_folder("up")
    server = launch_server(folder / "home", "--no-demo")
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


# -- data that is not part of the repository ---------------------------------------------------------------------------


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"real data is not here: {SHARED.name}/ beside the repository")
    return SHARED
