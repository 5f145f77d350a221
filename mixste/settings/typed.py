"""From nested dictionaries to frozen settings, every wrong key and value found before anything is refused; and flat."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from mixste.errors import MixsteError, did_you_mean
from mixste.settings.rules import Problem, SettingsError, hints

_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", NoneType: "null"}

T = TypeVar("T")


def build(cls: type[T], tree: object, where: str) -> T:
    """Make the settings dataclass `cls` of `tree`; `where` (a file) opens the message of the SettingsError."""
    problems: list[Problem] = []
    value: T = _read(cls, tree, "", problems)
    if problems:
        raise SettingsError(problems, where)
    return value


def _read(hint: Any, value: Any, key: str, problems: list[Problem]) -> Any:
    """Return `value` as the type `hint`; what cannot be is added to `problems` and None returned."""
    origin = get_origin(hint)
    if hint is Any:  # whoever declares it checks it
        return value
    if origin is Annotated:
        return _read(get_args(hint)[0], value, key, problems)
    if origin in (Union, UnionType):
        return _union(get_args(hint), value, key, problems)
    if origin is tuple:
        return _sequence(get_args(hint)[0], value, key, problems)
    if is_dataclass(hint):
        return _section(hint, value, key, problems)
    return _scalar(hint, value, key, problems)


def _union(options: tuple[Any, ...], value: Any, key: str, problems: list[Problem]) -> Any:
    if value is None and NoneType in options:
        return None
    return _read(next(option for option in options if option is not NoneType), value, key, problems)


def _sequence(item: Any, value: Any, key: str, problems: list[Problem]) -> Any:
    if not isinstance(value, list | tuple):
        problems.append(Problem(key, value, "a list"))
        return None
    return tuple(_read(item, entry, f"{key}.{index}", problems) for index, entry in enumerate(value))


def _scalar(hint: Any, value: Any, key: str, problems: list[Problem]) -> Any:
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        quote = " (write it in quotes, like '07')" if hint is str and value is not None else ""
        problems.append(Problem(key, value, _WORDS[hint] + quote))
        return None
    return value


def _section(cls: Any, value: Any, key: str, problems: list[Problem]) -> Any:
    if not isinstance(value, Mapping):
        problems.append(Problem(key or "the file", value, "a section with the keys " + ", ".join(_names(cls))))
        return None
    problems += _unknown(cls, value, key)
    found: list[Problem] = []
    read = _fields(cls, value, key, found)
    made = None if found else _made(cls, read, key, found)
    problems += found
    return made


def _unknown(cls: Any, value: Mapping[Any, Any], key: str) -> list[Problem]:
    names = _names(cls)
    problems = []
    for name in value:
        if name not in names:
            hint = did_you_mean(str(name), names) or "; known are " + ", ".join(names)
            problems.append(Problem(_join(key, str(name)), value[name], f"no such key{hint}"))
    return problems


def _fields(cls: Any, value: Mapping[Any, Any], key: str, problems: list[Problem]) -> dict[str, Any]:
    types = hints(cls)
    read = {}
    for field in fields(cls):
        if field.name in value:
            read[field.name] = _read(types[field.name], value[field.name], _join(key, field.name), problems)
        elif field.default is MISSING and field.default_factory is MISSING:
            problems.append(Problem(_join(key, field.name), "nothing", "a value: the key is missing"))
    return read


def _made(cls: Any, read: dict[str, Any], key: str, problems: list[Problem]) -> Any:
    try:
        return cls(**read)
    except SettingsError as error:
        problems += [problem.under(key) if key else problem for problem in error.problems]
    except MixsteError as error:
        problems.append(Problem(key, read, str(error)))
    return None


def _names(cls: Any) -> list[str]:
    return [field.name for field in fields(cls)]


def _join(parent: str, name: str) -> str:
    return f"{parent}.{name}" if parent else name


def flatten(tree: object, prefix: str = "") -> dict[str, object]:
    """Return nested dataclasses, dictionaries and lists of them as one dictionary with dotted keys."""
    if is_dataclass(tree) and not isinstance(tree, type):
        tree = asdict(tree)
    if isinstance(tree, tuple | list) and any(isinstance(item, Mapping) for item in tree):
        tree = dict(enumerate(tree))
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    flat: dict[str, object] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat
