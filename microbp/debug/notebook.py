"""What a notebook shows of the debugger's results, as of any other's."""

from microbp.notebook import Shown

__all__ = ["Shown"]
