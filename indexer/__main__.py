"""`python -m indexer`, which people call as `image2search index`."""

from indexer.cli import make_app

if __name__ == "__main__":
    make_app()(prog_name="image2search index")
