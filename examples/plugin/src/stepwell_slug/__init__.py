"""A sample plug-in of stepwell."""
