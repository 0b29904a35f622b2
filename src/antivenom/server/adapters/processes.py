"""Child processes that never outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_watchers: list[subprocess.Popen[bytes]] = []  # holds their pipes open for as long as we live


def die_with_parent(parent: int, number: int) -> None:
    """Ask the kernel to send this process a signal when its parent ends (Linux; elsewhere see `watch_parent`).

    The kernel watches the parent's *thread* that made us, so start children from threads that stay.
    """
    if _libc is None:
        return
    _libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), number)


def start_child(
    command: Sequence[str | Path],
    *,
    on_parent_death: signal.Signals,
    environment: Mapping[str, str] | None = None,
    output: IO[bytes] | int | None = None,
    user: tuple[int, int] | None = None,
    folder: Path | None = None,
    inherited_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own (Ctrl-C reaches only us) that ends when we end.

    Args:
        user: uid and gid to run as; needs root.
        output: Where stdout and stderr go.
        inherited_fds: File descriptors that the child keeps, under their numbers.
    """
    parent = os.getpid()
    child = subprocess.Popen(
        [os.fspath(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        env=None if environment is None else dict(environment),
        cwd=folder,
        pass_fds=tuple(inherited_fds),
        start_new_session=True,
        user=user[0] if user else None,
        group=user[1] if user else None,
        extra_groups=[] if user else None,
        # After the change of user, which would clear it (prctl(2)).
        preexec_fn=lambda: die_with_parent(parent, on_parent_death),
    )
    if _libc is None:
        _watchers.append(watch_parent(child.pid, on_parent_death))
    return child


def watch_parent(pid: int, number: int) -> subprocess.Popen[bytes]:
    """Where the kernel has no such signal: a shell that waits on a pipe only we hold, and then signals `pid`."""
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; kill -"$2" "$1" 2>/dev/null', "watch-parent", str(pid), str(int(number))],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def stop_child(child: subprocess.Popen[bytes], signals: Sequence[tuple[signal.Signals, float]]) -> int:
    """Send each signal in turn and wait its seconds, until the child has ended; its exit status."""
    for number, patience_s in signals:
        if child.poll() is not None:
            break
        child.send_signal(number)
        try:
            child.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
    return child.wait()
