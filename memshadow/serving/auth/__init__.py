"""Who may speak to the service at all. Knows no memories."""
