"""What the panes show: functions from a moment of a run to plain rows, without a terminal."""
