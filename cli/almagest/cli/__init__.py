"""The ``almagest`` command, one module per command group."""
