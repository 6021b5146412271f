"""Folding: which values share a box, so that a graph of any size is a picture that a person can read.

:mod:`~viz.folding.partition` is the record; each other file is one way to a coarser one, and
:mod:`~viz.folding.levels` tells which follow each other.
"""
