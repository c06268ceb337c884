"""The views of the machine's panes, as rows of text."""
