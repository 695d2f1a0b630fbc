"""`python -m indexer`."""

from indexer.cli import make_app

if __name__ == "__main__":
    make_app()(prog_name="python -m indexer")
