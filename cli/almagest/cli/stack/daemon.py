"""supervisord, made to survive a full disk: ``python -m almagest.cli.stack.daemon`` takes its arguments."""

from __future__ import annotations

from supervisor import loggers, supervisord


def lose_what_cannot_be_logged(_: object) -> None:
    """Instead of a traceback on standard error, which lies on the same full disk and would end the supervisor."""


def main() -> None:
    """Run supervisord."""
    loggers.Handler.handleError = lose_what_cannot_be_logged
    supervisord.main()


if __name__ == "__main__":
    main()
