"""Prints the OpenAPI document of the service, which the TypeScript types of `web/` are made from (`make client`)."""

import json

from app.main import create_app
from app.settings import Settings


def openapi_document() -> str:
    """With every API of the defaults; the environment does not count."""
    return json.dumps(create_app(Settings()).openapi(), indent=1)


if __name__ == "__main__":
    print(openapi_document())
