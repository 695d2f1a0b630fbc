"""Jobs that add many pictures at once."""
