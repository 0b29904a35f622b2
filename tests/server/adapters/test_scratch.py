"""What dead processes leave is swept; what living ones work on is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from antivenom.server.adapters.scratch import lock_in_use, scratch_folder, sweep

HOLD = """
import sys
from pathlib import Path
from antivenom.server.adapters.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1]), "sync") as folder:
    (folder / "index").write_bytes(b"12345")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_folder_of_a_killed_process_is_swept_and_that_of_a_living_one_stays(tmp_path: Path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    folder = Path(holder.stdout.readline().strip())
    assert sweep(tmp_path, young_s=-1) == (0, 0)
    assert (folder / "index").exists()
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    assert sweep(tmp_path, young_s=-1, dry_run=True) == (1, 5)
    assert sweep(tmp_path, young_s=-1) == (1, 5)
    assert list(tmp_path.iterdir()) == []


def test_folder_goes_with_its_block(tmp_path: Path):
    with scratch_folder(tmp_path, "sync") as folder:
        (folder / "inner").mkdir()
        assert sweep(tmp_path, young_s=-1) == (0, 0)
    assert list(tmp_path.iterdir()) == []


def test_folders_and_downloads_of_earlier_releases_have_no_lock_and_are_swept(tmp_path: Path):
    (tmp_path / "mirror-7").mkdir()
    (tmp_path / "mirror-7" / "index").write_bytes(b"123")
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "1-dead").write_bytes(b"12")
    with (tmp_path / "artifacts" / "2-alive").open("wb") as alive:
        lock_in_use(alive.fileno())
        assert sweep(tmp_path) == (0, 0)  # too young to tell
        assert sweep(tmp_path, young_s=-1) == (2, 5)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["2-alive"]
