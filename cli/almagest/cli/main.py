"""The ``almagest`` command: every group of commands is a module, put together here."""

from __future__ import annotations

import errno
import os
import signal
import sys

import typer

from almagest.cli import assets, audience, db, export, ingest, init, keys, query, sample, searching, settings, up
from almagest.cli.output import console
from almagest.core.errors import AlmagestError

app = typer.Typer(
    name="almagest",
    help="Almagest, a STAC-native catalogue: run it, look after it, use it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    # A traceback with the values of variables would print secrets.
    pretty_exceptions_show_locals=False,
)
app.command(epilog="Example: almagest up --sample ../shared/data")(up.up)
app.command(epilog="Example: almagest down")(up.down)
app.command(epilog="Example: almagest status --json")(up.status)
app.command(epilog="Example: almagest logs stac --follow")(up.logs)
app.command(epilog="Example: ALMAGEST_PORT=9000 almagest settings")(settings.settings)
app.command(epilog="Example: almagest init --from ~/.config/eomatch/user_config.yaml")(init.init)
app.command(epilog=ingest.EPILOG)(ingest.ingest)
app.command(epilog=query.EPILOG, cls=searching.ManyValues)(query.query)
app.command(epilog=export.EPILOG)(export.export)
app.add_typer(assets.app, name="assets")
app.add_typer(audience.app, name="audience")
app.add_typer(db.app, name="db")
app.add_typer(keys.app, name="keys")
app.add_typer(sample.app, name="sample")

# What the machine refuses us is the operator's to mend, not a bug: no traceback.
_MACHINE = {
    errno.ENOTDIR,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
}


def main() -> None:
    """Run the command line; an error of ours is one clear sentence and exit code 1."""
    try:
        app(prog_name="almagest")
    except AlmagestError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:
        # `almagest logs | head`: nobody reads any more. Python would complain once again while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ModuleNotFoundError as error:
        if (error.name or "almagest").partition(".")[0] == "almagest":
            raise
        _fail(f"This command needs {error.name}: install Almagest with its extra `services` (see the README).")
    except OSError as error:
        if error.errno not in _MACHINE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror}.")


def _fail(sentence: str, code: int = 1) -> None:
    console.print("Error: ", style="bold red", end="")
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
