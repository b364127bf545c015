"""How Sphinx builds these pages: Markdown through MyST, furo for the looks, nothing from the network."""

from __future__ import annotations

from joblot.version import __version__

project = "joblot"
release = version = __version__
copyright = "the joblot authors"
extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
html_theme = "furo"
html_title = f"joblot {release}"
html_copy_source = False
html_show_sphinx = False
