"""Fixtures that every test may use live in tests/support, one module a subject."""

pytest_plugins = [
    "tests.support.chroma_server",
    "tests.support.milvus_server",
    "tests.support.model_cache",
    "tests.support.s3_server",
    "tests.support.small_service",
]
