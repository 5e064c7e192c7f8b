"""The settings of a config, each by its path."""

from collections.abc import Mapping


def flat_settings(config: object, prefix: str = '') -> dict[str, object]:
    """Returns the values of nested dictionaries and lists by their dotted paths.

    Types are class names, without the module that a config in pure Python adds.

    Example:
        >>> flat_settings({'model': {'type': "<class 'a.Head'>", 'losses': [{'p': 1.7}]}})
        {'model.type': 'Head', 'model.losses.0.p': 1.7}
    """
    if isinstance(config, Mapping):
        items = config.items()
    elif isinstance(config, list | tuple):
        items = enumerate(config)
    else:
        is_type = prefix.rpartition('.')[2] == 'type' and isinstance(config, str)
        return {prefix: class_name(config) if is_type else config}
    flat = {}
    for key, inner in items:
        flat |= flat_settings(inner, f'{prefix}.{key}' if prefix else str(key))
    return flat


def class_name(type_: str) -> str:
    """Returns the name of a class that a config in pure Python gives with its module."""
    return type_.removesuffix("'>").rpartition('.')[2]
