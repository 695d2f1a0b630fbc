"""Sprite atlas: many small pictures on few pages."""
