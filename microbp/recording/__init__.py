"""What a Value remembers of how it was recorded: the group, comparisons, updates."""
