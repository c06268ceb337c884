"""What the panes of the machine show, as rows of text."""
