"""Native hooks: their sources, the built blobs, building and loading."""
