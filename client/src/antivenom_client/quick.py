"""A quick scan as a whole process."""

from __future__ import annotations

import gc
import os
import sys


def quick_scan(arguments: list[str]) -> None:
    """Scan and end the process, or return where that takes the whole command line."""
    gc.disable()  # what is made lives as long as the process
    from antivenom_client.scan import scan

    code: int | None
    try:
        code = scan(arguments)
        if code is not None:
            sys.stdout.flush()
            sys.stderr.flush()
    except BrokenPipeError:  # `antivenom … | head`
        os._exit(0)
    except KeyboardInterrupt:
        os._exit(130)
    if code is not None:
        os._exit(code)  # nothing is left to do, and taking a Python apart takes as long as a tenth of the scan
    gc.enable()
