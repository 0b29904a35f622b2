"""Sphinx reads this; `make docs` runs it with warnings as errors."""

from __future__ import annotations

from antivenom import __version__

project = "Antivenom"
author = "the Antivenom authors"
copyright = "the Antivenom authors"
release = __version__
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "ext"]
html_theme = "furo"
html_title = "Antivenom"
html_show_sphinx = False
html_show_sourcelink = False
html_copy_source = False
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]  # sketches of code may hold an ellipsis
