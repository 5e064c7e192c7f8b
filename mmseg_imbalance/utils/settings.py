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
        return {prefix: type_name(config) if is_type else config}
    flat = {}
    for key, inner in items:
        flat |= flat_settings(inner, f'{prefix}.{key}' if prefix else str(key))
    return flat


def type_of(part: Mapping | list) -> str | None:
    """Returns the bare name of a part's type, None if it has none, as a list of parts."""
    return type_name(part['type']) if 'type' in part else None


def type_name(kind: str | type) -> str:
    """Returns the bare name of a type in a config, which a pure-Python one gives as a class.

    Example:
        >>> type_name('mmengine.optim.OptimWrapper')
        'OptimWrapper'
        >>> type_name("<class 'a.Head'>")  # as MMEngine writes it to a work dir
        'Head'
    """
    return str(getattr(kind, '__name__', kind)).removesuffix("'>").rpartition('.')[2]
