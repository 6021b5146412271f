"""The shell: step through a backward pass in a terminal, forwards and back."""

from microbp.debug.shell.stepping import step

__all__ = ["step"]
