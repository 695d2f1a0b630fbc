"""The library as a map: two-dimensional layouts, the names of regions, and the pictures' places."""
