"""``python -m syncws``.

Owns: nothing. Runs on: the main thread. Must not import: anything but the command line.
"""

import sys

from ._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
