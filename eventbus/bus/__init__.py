"""The bus: what belongs to all sockets, from its start to its shutdown."""
