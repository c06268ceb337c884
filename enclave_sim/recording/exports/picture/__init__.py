"""A recording as a picture, in HTML and SVG."""
