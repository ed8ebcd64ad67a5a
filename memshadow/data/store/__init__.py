"""Memories at rest: rows, their versions and their vectors, durable the moment a write returns."""
