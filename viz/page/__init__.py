"""The step page: one file that shows a backward pass step by step, in any browser, without a network."""

from viz.page.page import LARGEST, Page, page

__all__ = ["LARGEST", "Page", "page"]
