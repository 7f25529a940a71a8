"""Sibling packages whose import name is their folder name; metadata lives in pyproject.toml."""

from setuptools import find_packages, setup

PACKAGES = ("tvm_xpiler", "lift", "schedule_llm", "sketch_repair", "cost_model", "codegen_bang")

setup(
    # A plain path in the editable install's .pth, which type checkers and editors can read.
    package_dir={"": "."},
    packages=find_packages(include=[pattern for name in PACKAGES for pattern in (name, f"{name}.*")]),
    package_data={
        **{name: ["py.typed"] for name in PACKAGES},
        "tvm_xpiler.core.semantics": ["*.h", "*.cpp"],
        "tvm_xpiler.batch": ["page.html"],
        "cost_model": ["py.typed", "trained/*.zip"],
        "schedule_llm": ["py.typed", "prompts/*.md", "prompts/families/*.md", "manual/*.md"],
    },
)
