"""The views of the panes: functions from a moment of a run to plain rows of text, without a terminal."""
