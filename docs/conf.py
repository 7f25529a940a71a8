"""The documentation's build: MyST pages, the Python interface from its docstrings, commands, codes and primitives from the program itself."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from tvm_xpiler import __version__

project = "tvm-xpiler"
release = __version__
copyright = "the tvm-xpiler authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click", "tables"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
html_theme = "furo"
html_title = "tvm-xpiler"
exclude_patterns = ["_ext", "build"]
smartquotes = False  # options begin with two dashes
