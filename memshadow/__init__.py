"""memshadow: the memory that language models share, and that learns."""

__version__ = "0.1.0"
