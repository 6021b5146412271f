"""The machine in C, which runs programs over the columns of a graph. It is optional."""

from __future__ import annotations

from microbp.native.machine import Engine, Machine, engine, extension, whole_threads

__all__ = ["Engine", "Machine", "engine", "extension", "whole_threads"]
