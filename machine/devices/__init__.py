"""The devices: one file for each, with its manual's names and layout."""
