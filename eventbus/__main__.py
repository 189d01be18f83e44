"""`python -m eventbus` is the command `eventbus`."""

from .cli.main import run

if __name__ == "__main__":
    run()
