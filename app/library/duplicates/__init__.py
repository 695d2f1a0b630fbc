"""Groups of pictures that are the same, or nearly."""
