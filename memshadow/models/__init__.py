"""Models: text to vector, and how the mapping is trained."""
