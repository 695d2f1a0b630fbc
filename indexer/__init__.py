"""Keeps the index true to the bucket: list, diff, read, embed, publish."""
