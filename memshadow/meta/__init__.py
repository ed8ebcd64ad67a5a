"""Learning that changes the learner: meta-learning from many small tasks, and adapting to one user."""
