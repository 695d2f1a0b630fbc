"""The pictures page by page."""
