"""How an object was made, as plain values: written into a checkpoint, and made again from there."""

import functools
import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from numbers import Integral, Real
from pathlib import Path

__all__ = ["check_trust", "describe", "make", "make_like", "recorded"]

# What a checkpoint may make; the classes of other rooms open files or run commands.
_ROOMS = ("socialgraph.nn.", "socialgraph.graph.", "socialgraph.data.", "socialgraph.objective.")
_OTHER_VERSION = (
    "If another version of this library wrote it, use that one, or train again with this one."
)


class _Arguments(dict):
    """Arguments by name, of which a deep copy of their owner has a dictionary of its own.

    What makes a part, made by a command line, may hold on to all of that, up to the data.
    """

    def __deepcopy__(self, memo: dict) -> "_Arguments":
        return _Arguments(self)


def recorded(init: Callable) -> Callable:
    """Decorate ``__init__`` to keep its arguments as ``self.init_args``, by name.

    A subclass with an ``__init__`` of its own decorates that too, or has nothing kept.

    Raises:
        TypeError: if it takes ``*args`` or ``**kwargs``, which have no names.
    """
    signature = inspect.signature(init)
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"Expected arguments with names (got '{parameter}' of '__init__').")

    @functools.wraps(init)
    def wrapper(self, *args, **kwargs) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        init(self, *args, **kwargs)
        if type(self).__init__ is wrapper:
            self.init_args = _Arguments(list(bound.arguments.items())[1:])

    return wrapper


def describe(thing: object) -> dict:
    """Class and arguments of an object, as ``{"class_path": ..., "init_args": {...}}``.

    Arguments are those that :func:`recorded` kept, or the attributes of their names. One that was a
    factory is described by what it made: the attribute of its name.

    Raises:
        TypeError: if an argument cannot be written down, or the class is not of a module.
    """
    path = f"{type(thing).__module__}.{type(thing).__qualname__}"
    if "." in type(thing).__qualname__:
        raise TypeError(f"Expected a class of a module, not one within another (got {path}).")
    kept = getattr(thing, "init_args", None)
    if kept is None:
        kept = {name: getattr(thing, name, inspect.Parameter.empty) for name in _arguments(thing)}
    return {
        "class_path": path,
        "init_args": {name: _plain(thing, name, value) for name, value in kept.items()},
    }


def make(recipe: dict, trust: Sequence[str] = ()) -> object:
    """Make what :func:`describe` described, with the objects among its arguments.

    Args:
        recipe: class and arguments.
        trust: packages besides this one whose classes may be made.

    Raises:
        ValueError: if a class is of another package, there is none of its name, or it does not
            take the arguments.
    """
    check_trust(recipe, trust)
    return _make(recipe, trust)


def make_like(thing: object) -> object:
    """Another object of the same class and arguments, with weights of its own.

    Raises:
        TypeError: if an argument cannot be written down.
    """
    return _make(describe(thing), trust=None)


def check_trust(recipe: object, trust: Sequence[str] = ()) -> None:
    """Refuse plain values that name a class that may not be made.

    Args:
        recipe: plain values, with classes anywhere among them.
        trust: packages besides this one whose classes may be made.

    Raises:
        ValueError: if one does.
    """
    if isinstance(recipe, dict):
        if "class_path" in recipe:
            _check_package(recipe["class_path"], trust)
        for value in recipe.values():
            check_trust(value, trust)
    elif isinstance(recipe, list | tuple):
        for value in recipe:
            check_trust(value, trust)


def _check_package(path: object, trust: Sequence[str]) -> None:
    package = str(path).split(".")[0]
    if not str(path).startswith(_ROOMS) and package not in trust:
        raise ValueError(
            f"The checkpoint names the class {path!r}. Only classes of socialgraph.nn, .graph, "
            ".data and .objective are made from a checkpoint. If you trust it, say so: "
            f"trust=[{package!r}], on the command line --trust {package}."
        )


def _plain(owner: object, name: str, value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    # Not their subclasses, such as NumPy's float, which a checkpoint may not hold.
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple | range):
        factories = any(callable(item) and not _is_describable(item) for item in value)
        made = getattr(owner, name, value) if factories else value
        return [_plain_item(owner, name, item) for item in made]
    if isinstance(value, dict):
        return {str(key): _plain(owner, name, item) for key, item in value.items()}
    made = value if _is_describable(value) else getattr(owner, name, value)
    if isinstance(made, list):  # of what a factory made
        return [_plain_item(owner, name, item) for item in made]
    if _is_describable(made):
        return describe(made)
    raise _unwritable(owner, name, value)


def _plain_item(owner: object, name: str, item: object) -> object:
    if callable(item) and not _is_describable(item):
        raise _unwritable(owner, name, item)
    return _plain(owner, name, item)


def _unwritable(owner: object, name: str, value: object) -> TypeError:
    return TypeError(
        f"The argument '{name}' of {type(owner).__name__} cannot be written into a checkpoint (got "
        f"{value!r}). Its constructor must keep its arguments as attributes, or be decorated with "
        "socialgraph.recipe.recorded."
    )


def _is_describable(thing: object) -> bool:
    if inspect.isclass(thing) or inspect.isroutine(thing):
        return False
    if hasattr(thing, "init_args") or is_dataclass(thing):
        return True
    return all(hasattr(thing, name) for name in _arguments(thing))


def _arguments(thing: object) -> list[str]:
    """Names of the arguments of its constructor."""
    owner: type = next(base for base in type(thing).__mro__ if "__init__" in vars(base))
    if owner.__module__ == "torch.nn.modules.module":  # takes any, to refuse them
        return []
    return list(inspect.signature(vars(owner)["__init__"]).parameters)[1:]


def _make(recipe: object, trust: Sequence[str] | None) -> object:
    if isinstance(recipe, list | tuple):
        return [_make(value, trust) for value in recipe]
    if not isinstance(recipe, dict):
        return recipe
    if "class_path" not in recipe:
        return {name: _make(value, trust) for name, value in recipe.items()}
    made = _find_class(recipe["class_path"])
    if trust is not None:
        _check_package(f"{made.__module__}.{made.__qualname__}", trust)
    given = recipe.get("init_args", {})
    if not isinstance(given, dict):
        raise ValueError(f"Expected arguments by name of {recipe['class_path']} (got {given!r}).")
    given = {name: _make(value, trust) for name, value in given.items()}
    try:
        return made(**given)
    except (TypeError, AttributeError, LookupError, ArithmeticError) as error:  # of odd values
        raise ValueError(
            f"Cannot make a {recipe['class_path']} ({error}). {_OTHER_VERSION}"
        ) from error


def _find_class(path: object) -> type:
    """The class of a name, of which a module may only hold an import.

    Raises:
        ValueError: if there is none.
    """
    try:
        module, _, name = str(path).rpartition(".")
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"There is no class {path!r} ({error}). {_OTHER_VERSION}") from error
    if not inspect.isclass(found):
        raise ValueError(f"Expected the name of a class (got {path!r}).")
    return found
