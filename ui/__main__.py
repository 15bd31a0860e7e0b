"""The command `masque` of an installed copy: the same commands as run.py, without its set-up."""

import sys


def main() -> int:
    """Run the command line and return the exit code."""
    from avatar.system import interrupts

    interrupts.end_at_once()
    from avatar import cli

    try:
        code = cli.main(sys.argv[1:], _open_window)
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        code = cli.FAILED
    interrupts.end_with(code)
    return code


def _open_window() -> int:
    from ui.start import start

    return start()


if __name__ == "__main__":
    sys.exit(main())
