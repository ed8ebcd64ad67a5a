"""Which memshadow this is; on the lowest floor, so that every room may say it."""

__version__ = "0.1.0"
