"""What a Value remembers of how it was recorded: the line, the group, comparisons, updates."""
