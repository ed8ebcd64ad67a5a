"""Training: runs any learner - seeds, trainer, state, tracker - and knows nothing of what is learned."""
