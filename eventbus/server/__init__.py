"""aiohttp: the endpoint that carries the sockets, and the application around it."""
