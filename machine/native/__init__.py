"""The instruction hook in native code: source, blobs, and how they are built."""
