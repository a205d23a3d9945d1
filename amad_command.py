"""The first lines of the command ``amad``: Ctrl-C ends it in silence, even while it is loaded.

A module of its own: ``import amad_core`` loads NumPy and SciPy before any line in there runs.
"""

import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    try:
        from amad_core.command_line import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
