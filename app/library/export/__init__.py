"""Vectors and metadata as files."""
