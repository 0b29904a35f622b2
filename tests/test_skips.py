"""In CI a skipped test is a failure, in one process and in two."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO

SKIPPING = {
    "test_by_call": "import pytest\ndef test_it(): pytest.skip('why')\n",
    "test_by_mark": "import pytest\n@pytest.mark.skip(reason='why')\ndef test_it(): ...\n",
    "test_by_fixture": "import pytest\n@pytest.fixture\ndef it(): pytest.skip('why')\ndef test_it(it): ...\n",
    "test_by_import": "import pytest\npytest.importorskip('no_such_module')\ndef test_it(): ...\n",
}


@pytest.mark.parametrize("processes", ["0", "2"])
def test_each_way_to_skip_is_a_failure(tmp_path: Path, processes: str) -> None:
    hooks = "from tests.conftest import pytest_make_collect_report, pytest_runtest_makereport\n"
    (tmp_path / "conftest.py").write_text(hooks)
    for name, text in SKIPPING.items():
        (tmp_path / f"{name}.py").write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"CI": "true", "PYTHONPATH": os.pathsep.join([str(REPO), *sys.path])}
    command = [sys.executable, "-m", "pytest", "-q", "--continue-on-collection-errors", "-n", processes, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    refused = set(re.findall(r"^(?:FAILED|ERROR) (test_\w+)\.py.*skipped in CI", done.stdout, re.MULTILINE))
    assert done.returncode == 1
    assert refused == set(SKIPPING), done.stdout
