"""From stored bytes to a checked, decoded and embedded picture with its record; for index runs and for requests."""
