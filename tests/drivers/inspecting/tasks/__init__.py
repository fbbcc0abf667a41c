"""Task files as users of Inspect write them. The rule here: they know nothing of this project."""
