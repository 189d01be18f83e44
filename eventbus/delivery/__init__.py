"""What leaves for clients: outboxes, what waits for slow ones, and who writes when."""
