"""The names of a data set's classes."""


def class_names(metainfo: dict, owner: str) -> tuple[str, ...]:
    """Returns the names of the classes in a data set's ``metainfo``, numbers as text.

    Args:
        metainfo: What MMEngine's data sets keep under this name.
        owner: The data set, for the error.

    Raises:
        ValueError: If there are none.
    """
    names = metainfo.get('classes')
    if not names:
        raise ValueError(f'{owner} has no names of classes: give it metainfo=dict(classes=[…])')
    return tuple(map(str, names))


def trained_classes(runner) -> tuple[str, ...]:
    """Returns the names of the classes in a runner's training set, see :func:`class_names`."""
    return class_names(runner.train_dataloader.dataset.metainfo, 'train_dataloader.dataset')
