"""The commands about teaching labs."""
