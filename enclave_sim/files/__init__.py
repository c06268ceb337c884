"""Files that the user names: how much of them is read, and how they are written."""
