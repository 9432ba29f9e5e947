"""``python -m dalib`` is the command ``dalib``."""

import sys

from dalib.benchmark.cli import main

if __name__ == "__main__":
    sys.exit(main())
