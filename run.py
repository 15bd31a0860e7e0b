"""Start Masque: python run.py [COMMAND]. On a new machine this sets everything up first.

Only the standard library is used until then. The version check precedes any syntax that an old Python cannot parse.
"""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.stderr.write(
        "Masque needs Python 3.11, 3.12 or 3.13, and this is Python " + sys.version.split()[0] + ".\n"
        "Install one of them (https://www.python.org/downloads) and start Masque with it: python3.12 run.py\n"
    )
    sys.exit(1)


def open_window() -> int:
    """Open the desktop app, which is imported only in the prepared environment."""
    from ui.start import start

    return start()


def start() -> int:
    """Run the command line and return the exit code."""
    import signal

    if sys.platform != "win32":  # until `end_at_once`, because Python may lose a Ctrl-C during an import
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    from avatar.system import interrupts

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
