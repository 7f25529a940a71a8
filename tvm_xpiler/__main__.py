"""``python -m tvm_xpiler``."""

from tvm_xpiler.cli import main

main()
