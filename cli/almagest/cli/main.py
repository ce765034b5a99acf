"""The ``almagest`` command: its beginning and its end."""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import Any

from almagest.core.errors import AlmagestError, DatabaseUnavailableError

_INTERRUPTED = 128 + signal.SIGINT
# What the machine refuses us is the operator's to mend, not a bug, even where it names no file.
_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM, errno.EBADF}


def main() -> None:
    """Run the command line; an error of ours, or of a file, is one clear sentence and exit code 1."""
    try:
        _run()
    except DatabaseUnavailableError as error:
        _fail(f"{error} (`make status` tells what runs here, `make up` starts it.)")
    except AlmagestError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted", _INTERRUPTED)
    except BrokenPipeError:
        # `almagest logs | head`: nobody reads any more.
        _leave_output()
        sys.exit(1)
    except ModuleNotFoundError as error:
        if (error.name or "almagest").partition(".")[0] == "almagest":
            raise
        _fail(f"This command needs {error.name}: install Almagest with its extra `services` (see the README).")
    except RecursionError:
        _fail("A document is nested too deeply.")
    except OSError as error:
        if error.filename is None and error.errno not in _MACHINE:
            raise
        if error.filename is None:
            _leave_output()
            _fail(f"{error.strerror}.")
        _fail(f"{error.filename}: {error.strerror}.")


def _run() -> None:
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        # There is nothing to clean up yet, and libraries that are still being loaded cannot be interrupted properly.
        signal.signal(signal.SIGINT, _end)
    from almagest.cli.commands import app

    signal.signal(signal.SIGINT, before)
    app(prog_name="almagest")


def _end(*_: Any) -> None:
    os._exit(_INTERRUPTED)


def _leave_output() -> None:
    """Leaves what cannot be written any more: Python would complain once again while it ends."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(sentence: str, code: int = 1) -> None:
    from almagest.cli.output import console

    console.print("Error: ", style="bold red", end="")
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
