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


def open_window() -> int:
    """Open the desktop app; loaded only then, in the prepared environment."""
    from ui.start import start

    return start()


def start() -> int:
    """Run what the command line asks for and return the exit code."""
    from avatar import interrupts

    interrupts.end_at_once()
    from avatar import bootstrap

    code = bootstrap.start(sys.argv[1:], open_window=open_window)
    interrupts.end_with(code)
    return code


if __name__ == "__main__":
    try:
        exit_code = start()
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        exit_code = 1
    sys.exit(exit_code)
