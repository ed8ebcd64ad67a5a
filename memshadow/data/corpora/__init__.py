"""Corpora: readers of published sets, and made lives, all in one shared form."""
