"""An index that stores the class it was drawn for."""


class DrawnIndex(int):
    """Index of an image that was drawn because it holds a class.

    The data loader passes it on as ``results['sample_idx']``, where :class:`ClassAwareRandomCrop`
    reads the class. Wrappers compute an index of the wrapped data set by subtraction
    (concatenation) or modulo (repetition); both keep the class.

    Args:
        index: The index.
        drawn_class: Index of the class.

    Example:
        >>> index = DrawnIndex(12, drawn_class=3)
        >>> index, index % 10, (index - 4).drawn_class
        (12, 2, 3)
    """

    def __new__(cls, index: int, drawn_class: int) -> 'DrawnIndex':
        """Creates an int with an attribute."""
        self = super().__new__(cls, index)
        self.drawn_class = drawn_class
        return self

    def __getnewargs__(self) -> tuple[int, int]:
        """Returns the arguments of a copy for worker processes."""
        return int(self), self.drawn_class

    def __sub__(self, other: int) -> 'DrawnIndex':
        """Returns the index in a part of a concatenation."""
        return DrawnIndex(int(self) - other, self.drawn_class)

    def __mod__(self, other: int) -> 'DrawnIndex':
        """Returns the index in a repeated data set."""
        return DrawnIndex(int(self) % other, self.drawn_class)
