"""The devices: one file for each, with the names and the layout of its manual."""
