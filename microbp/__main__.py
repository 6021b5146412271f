"""``python -m microbp``: the command of :mod:`microbp.cli`."""

import sys

from microbp.cli import main

if __name__ == "__main__":
    sys.exit(main())
