"""Bridges to other people's libraries: each is one file, and imports its library only when it is called."""
