"""The command `eventbus`. Each command imports what it needs when it runs, so that it starts at once."""
