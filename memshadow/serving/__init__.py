"""Serving: a memory on the wire, and the client that speaks to it. Imports nothing, so that the client stays light."""
