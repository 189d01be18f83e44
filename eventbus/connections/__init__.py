"""Connections and their sockets, from admission to the disconnect."""
