"""A validator for the part of JSON Schema that the product's schema uses; it refuses any other keyword."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
WORDS = {"$schema", "$defs", "title", "description", "default", "format", "const"}


def problems(value: Any, schema: Any, root: Mapping[str, Any], where: str = "document") -> list[str]:
    """What is wrong with a value, empty where it is valid."""
    if schema is True:
        return []
    if schema is False:
        return [f"{where}: not allowed"]
    if "type" in schema and (found := _check("type", schema["type"], value, schema, root, where)):
        return found
    found = []
    for keyword, wanted in schema.items():
        if keyword not in WORDS or keyword == "const":
            found += _check(keyword, wanted, value, schema, root, where)
    return found


def _check(
    keyword: str, wanted: Any, value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], where: str
) -> list[str]:
    match keyword:
        case "$ref":
            return problems(value, root["$defs"][wanted.removeprefix("#/$defs/")], root, where)
        case "anyOf":
            fits = any(not problems(value, option, root, where) for option in wanted)
            return [] if fits else [f"{where}: {value!r} fits none of {wanted}"]
        case "type":
            fits = isinstance(value, TYPES[wanted]) and (wanted == "boolean") == isinstance(value, bool)
            return [] if fits else [f"{where}: {value!r} is no {wanted}"]
        case "properties":
            inner = {name: part for name, part in wanted.items() if name in value}
            return [p for n, part in inner.items() for p in problems(value[n], part, root, f"{where}.{n}")]
        case "additionalProperties":
            names = [name for name in value if name not in schema.get("properties", {})]
            return [p for n in names for p in problems(value[n], wanted, root, f"{where}.{n}")]
        case "propertyNames":
            return [p for name in value for p in problems(name, wanted, root, f"{where}.{name}")]
        case "items" | "prefixItems":
            parts: Sequence[Any] = wanted if keyword == "prefixItems" else [wanted] * len(value)
            pairs = zip(value, parts, strict=False)
            return [p for i, (v, s) in enumerate(pairs) for p in problems(v, s, root, f"{where}[{i}]")]
    return [] if _holds(keyword, wanted, value) else [f"{where}: {value!r} breaks {keyword} {wanted!r}"]


def _holds(keyword: str, wanted: Any, value: Any) -> bool:
    match keyword:
        case "required":
            return bool(set(wanted) <= set(value))
        case "enum":
            return bool(value in wanted)
        case "const":
            return bool(value == wanted)
        case "minimum":
            return bool(value >= wanted)
        case "maximum":
            return bool(value <= wanted)
        case "minItems":
            return bool(len(value) >= wanted)
        case "maxItems":
            return bool(len(value) <= wanted)
        case "pattern":
            return re.search(wanted, value) is not None
    raise NotImplementedError(f"the schema uses {keyword}: teach it to this validator")
