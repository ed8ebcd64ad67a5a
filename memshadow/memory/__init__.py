"""Memory: remember, recall, context."""
