"""``cached_property``: as in ``functools``, without the lock that it has there before Python 3.12.

That lock belongs to all objects of a class, is held while one computes, and is copied locked by a fork.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

__all__ = ["cached_property"]

T = TypeVar("T")


class cached_property(Generic[T]):  # noqa: N801 (used like a function)
    """Computed when it is asked for first, then an attribute of the object.

    >>> class Circle:
    ...     radius = 2.0
    ...     @cached_property
    ...     def area(self):
    ...         return 3.0 * self.radius**2
    >>> circle = Circle()
    >>> circle.area, vars(circle)
    (12.0, {'area': 12.0})
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute, self.__doc__ = compute, compute.__doc__

    @overload
    def __get__(self, of: None, owner: type) -> cached_property[T]: ...
    @overload
    def __get__(self, of: object, owner: type) -> T: ...
    def __get__(self, of: Any, owner: type) -> Any:
        """The attribute; of two threads that compute it at once, both get the same."""
        return self if of is None else vars(of).setdefault(self.compute.__name__, self.compute(of))
