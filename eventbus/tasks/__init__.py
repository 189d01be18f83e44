"""Work beside the connections: background tasks, threads, and whose turn it is."""
