"""Documents of JSON and XML as plain dictionaries and lists, read with care."""

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

__all__ = ["iterate_elements", "local_name", "parse_document", "uncollected"]

_DEEPEST = 64


def parse_document(name: str, data: bytes) -> dict[str, Any]:
    """A document of JSON or XML.

    An XML element becomes the dictionary of its children, or its text if it has none; children of
    one name become a list. Namespaces are left out. Entities, document types and links to other
    files are refused.

    Returns:
        The dictionary; a JSON document that is a list stands in it under an empty name.

    Raises:
        ValueError: if it is neither, or is nested too deeply.
    """
    start = data.lstrip(b"\xef\xbb\xbf \r\n\t")[:1]
    if start == b"<" or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _as_dict(_parse_xml(name, data), name)
    try:
        with uncollected():
            document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{name}' is no JSON or XML document: {error}") from error
    return document if isinstance(document, dict) else {"": document}


def iterate_elements(name: str, data: bytes, tags: set[str]) -> Iterator[Any]:
    """Elements of an XML document with one of ``tags`` as local name, each dropped after use.

    Raises:
        ValueError: if it is no XML, or holds what is refused.
    """
    with _named(name):
        parser = ElementTree.iterparse(
            BytesIO(data), events=("start", "end"), forbid_dtd=True, forbid_external=True
        )
        depth = 0
        for event, element in parser:
            depth += 1 if event == "start" else -1
            if depth > _DEEPEST:
                raise ValueError(f"'{name}' is nested more than {_DEEPEST} deep.")
            if event == "end" and local_name(element) in tags:
                yield element
                element.clear()


def local_name(element: Any) -> str:
    """The name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


@contextmanager
def uncollected() -> Iterator[None]:
    """Do not look for cycles meanwhile, which a document has none of: it takes as long as to read
    it. What is read should be gone at the end, or the collector goes through it then."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _parse_xml(name: str, data: bytes) -> Any:
    with _named(name):
        return ElementTree.fromstring(data, forbid_dtd=True, forbid_external=True)


def _as_dict(element: Any, name: str, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        raise ValueError(f"'{name}' is nested more than {_DEEPEST} deep.")
    children: dict[str, Any] = {}
    for child in element:
        value = _as_dict(child, name, depth + 1)
        tag = local_name(child)
        if tag in children:
            before = children[tag]
            children[tag] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            children[tag] = value
    if not children and depth:
        return (element.text or "").strip()
    return children


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Turn what a parser says into an error with the name of the document."""
    try:
        yield
    except ElementTree.ParseError as error:
        raise ValueError(f"'{name}' is no XML document, or cut off: {error}") from error
    except DefusedXmlException as error:
        raise ValueError(
            f"'{name}' holds document types or entities, which no feed needs. It is not read."
        ) from error
