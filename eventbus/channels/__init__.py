"""Who listens to which channel."""
