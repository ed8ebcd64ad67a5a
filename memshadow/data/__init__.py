"""Data: memories at rest, and the batches made from them."""
