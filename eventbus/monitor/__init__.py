"""What the event loop does: how late it is, and what blocks it."""
