"""An index that remembers for which class it was drawn."""


class DrawnIndex(int):
    """Index of an image that was drawn because it holds a class.

    It travels through the data loader into ``results['sample_idx']``, where
    :class:`ClassAwareRandomCrop` finds the class again. Wrappers of data sets address the wrapped
    one by subtraction (concatenation) or modulo (repetition); both keep the class.

    Args:
        index: The index.
        drawn_class: The class, an index too.

    Example:
        >>> index = DrawnIndex(12, drawn_class=3)
        >>> index, index % 10, (index - 4).drawn_class
        (12, 2, 3)
    """

    def __new__(cls, index: int, drawn_class: int) -> 'DrawnIndex':
        """Makes an int with an attribute."""
        self = super().__new__(cls, index)
        self.drawn_class = drawn_class
        return self

    def __getnewargs__(self) -> tuple[int, int]:
        """Arguments of a copy, which worker processes are sent."""
        return int(self), self.drawn_class

    def __sub__(self, other: int) -> 'DrawnIndex':
        """Index in a part of a concatenation."""
        return DrawnIndex(int(self) - other, self.drawn_class)

    def __mod__(self, other: int) -> 'DrawnIndex':
        """Index in a data set that is repeated."""
        return DrawnIndex(int(self) % other, self.drawn_class)
