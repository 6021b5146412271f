"""A backward pass as pictures, one for each step. The drawing of ordinary pictures imports parts of it."""
