"""The `asr` command, also as `python -m asr`."""

import signal
import sys


def main() -> None:
    """Run the command; Ctrl-C ends it as quietly while its modules are still being imported."""
    try:
        from asr.cli.main import main as run

        run()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
