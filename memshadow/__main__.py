"""``python -m memshadow`` is ``memshadow``."""

import sys

from memshadow.cli import main

if __name__ == "__main__":
    sys.exit(main())
