"""Components in a config: a name and its arguments, which may be components themselves."""

import dataclasses
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, TypeAdapter, ValidationError

from medssl import lookup
from medssl.errors import ConfigError, MedsslError


@dataclass(frozen=True, kw_only=True)
class Component:
    """A member of a family; in YAML its name and its arguments stand side by side."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    family: str = ""


Members = tuple[Component, ...]


def member(family: str) -> tuple[object, ...]:
    """Return what annotates a field that holds a member of the family."""
    return (
        BeforeValidator(_gather),
        AfterValidator(partial(_checked, family)),
        PlainSerializer(_spread),
    )


def members(family: str) -> tuple[object, ...]:
    """Return what annotates a field that holds a list of members of the family."""
    return (
        BeforeValidator(_gather_all),
        AfterValidator(partial(_all_checked, family)),
        PlainSerializer(_spread),
    )


def build(component: Component, *parts: object) -> Any:
    """Make what a config names, inside out; `parts` come from the pipeline.

    Raises:
        ConfigError: If the component refuses its arguments.
    """
    params = {key: _made(value) for key, value in component.params.items()}
    try:
        return lookup.build(component.family, component.name, *parts, **params)
    except MedsslError:
        raise
    except ValueError as error:
        msg = f"{component.name}: {error}"
        raise ConfigError(msg) from error


def described(component: Component) -> dict[str, Any]:
    """Return a component as YAML and JSON hold it: its name beside its arguments."""
    tree: dict[str, Any] = _spread(component)
    return tree


def recall(family: str, tree: Mapping[str, Any]) -> Component:
    """Return the checked component that `described` wrote down.

    Raises:
        ConfigError: If the family does not know it, or not so.
    """
    return _checked(family, TypeAdapter(Component).validate_python(_gather(dict(tree))))


def _made(value: Any) -> Any:
    if isinstance(value, Component):
        return build(value)
    if isinstance(value, tuple) and value and isinstance(value[0], Component):
        return tuple(build(part) for part in value)
    return value


def _gather(value: Any) -> Any:
    if isinstance(value, dict) and "name" in value:
        return Component(name=value["name"], params={k: v for k, v in value.items() if k != "name"})
    if not isinstance(value, Component) and lookup.is_component(value):  # an argument's default
        name = type(value).__module__.rpartition(".")[2]
        return Component(name=name, params=dict(vars(value)))
    return value


def _gather_all(value: Any) -> Any:
    return tuple(map(_gather, value)) if isinstance(value, list | tuple) else value


def _checked(family: str, component: Component) -> Component:
    params = lookup.complete(family, component.name, component.params)
    hints = get_type_hints(lookup.find(family, component.name).__init__)
    checked = {key: _argument(key, hints[key], value) for key, value in params.items()}
    made = Component(name=component.name, params=checked, family=family)
    if dataclasses.is_dataclass(lookup.find(family, component.name)):
        build(made)  # a record costs nothing to make, and refuses values that are out of range
    return made


def _all_checked(family: str, components: Sequence[Component]) -> Members:
    return tuple(_checked(family, component) for component in components)


def _argument(key: str, hint: Any, value: Any) -> Any:
    """Check an argument against its annotation; one of a family's protocol is a component."""
    try:
        protocol, several = _protocol(hint, value)
        if protocol is None:
            optional = value is None and type(None) in get_args(hint)
            return None if optional else TypeAdapter(hint).validate_python(value)
        if several:
            gathered = TypeAdapter(Members).validate_python(_gather_all(value))
            return tuple(_part(protocol, component) for component in gathered)
        return _part(protocol, TypeAdapter(Component).validate_python(_gather(value)))
    except ConfigError as error:
        msg = f"{key}: {error}"
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, (key, *first["loc"])))
        msg = f"{place}: {first['msg']}, got {first['input']!r}"
    raise ConfigError(msg)


def _part(protocol: Any, component: Component) -> Component:
    lookup.check_fit(protocol, component.name)
    return _checked(protocol.__module__, component)


def _protocol(hint: Any, value: Any) -> tuple[Any, bool]:
    """Return the family's protocol that an annotation asks for, and whether it asks for several.

    `Protocol | None` asks for none where None is given, `tuple[Protocol, ...]` for several.
    """
    if lookup.family_of(hint):
        return hint, False
    inner = [part for part in get_args(hint) if lookup.family_of(part)]
    if get_origin(hint) in (Union, types.UnionType) and inner and value is not None:
        return inner[0], False
    if get_origin(hint) in (tuple, Sequence) and inner:
        return inner[0], True
    return None, False


def _spread(value: Any) -> Any:
    if isinstance(value, Component):
        return {"name": value.name, **{k: _spread(v) for k, v in value.params.items()}}
    if isinstance(value, tuple):
        return [_spread(part) for part in value]
    return value
