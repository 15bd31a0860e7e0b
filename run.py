"""Start Masque: python run.py [COMMAND]. On a fresh machine this sets everything up first.

Only the standard library is used until that is done. The version check stands before anything that an
old Python could not read.
"""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.stderr.write(
        "Masque needs Python 3.11, 3.12 or 3.13, and this is Python " + sys.version.split()[0] + ".\n"
        "Install one of them (https://www.python.org/downloads) and start Masque with it: python3.12 run.py\n"
    )
    sys.exit(1)

from avatar import bootstrap


def open_window() -> int:
    """Open the desktop app; loaded only then, in the prepared environment."""
    from ui.start import start

    return start()


if __name__ == "__main__":
    sys.exit(bootstrap.start(sys.argv[1:], open_window=open_window))
