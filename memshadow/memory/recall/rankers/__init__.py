"""What orders the candidates of a scene: one class a file, one YAML each in ``configs/ranker``."""
