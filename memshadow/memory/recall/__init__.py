"""From an owner's block and a question to an order: candidates, what is seen of each, rankers, a second look."""
