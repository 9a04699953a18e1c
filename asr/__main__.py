"""The `asr` command, also as `python -m asr`."""

import os
import signal
import sys


def main() -> None:
    """Run the command; Ctrl-C ends it as quietly while its modules are imported, and at its end."""
    try:
        from asr.cli.main import main as run

        run()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    finally:
        _end_quietly()


def _end_quietly() -> None:
    """From here on a signal ends the process: Python, at its end, would print a traceback."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(130))


if __name__ == "__main__":
    main()
