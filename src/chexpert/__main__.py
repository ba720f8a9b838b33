"""`python -m chexpert` is the command `chexpert`."""

from chexpert.cli.main import run

__all__: list[str] = []

if __name__ == "__main__":
    run()
