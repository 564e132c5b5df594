"""Files that jobs are written in: YAML or JSON, from a path, a folder or standard input."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from core.errors import InvalidInput, Issue

_ENDINGS = (".yaml", ".yml", ".json")
LARGEST_FILE = 10 * 1024 * 1024  # bytes


class _Loader(yaml.SafeLoader):
    """YAML as JSON would have it: a date stays the text that was written, and a key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is given twice: YAML would drop the first one silently."""
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {str(name) for name in names if names.count(name) > 1}
        if twice:
            problem = f"{', '.join(sorted(twice))} is given twice"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_one(path: str) -> dict[str, Any]:
    """Return the one mapping in a file. Raises InvalidInput for anything else."""
    found = [document for _, document in read_documents([path])]
    if len(found) != 1:
        raise invalid(path, f"has {len(found)} documents; one job is expected")
    return found[0]


def read_documents(paths: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each document of files and folders with where it stands. Raises InvalidInput for what cannot be read."""
    for path in paths:
        for name, text in _texts(path):
            try:
                documents = list(yaml.load_all(text, _Loader))
            except yaml.YAMLError as error:
                raise invalid(name, " ".join(str(error).split())) from error
            for number, document in enumerate(documents, 1):
                if document is None:
                    continue
                if not isinstance(document, dict):
                    raise invalid(name, "is not a mapping of fields")
                yield (name if len(documents) == 1 else f"{name} (document {number})"), document


def invalid(where: str, what: str) -> InvalidInput:
    """Return the error of a file."""
    return InvalidInput([Issue("", "invalid_file", f"{where}: {what}.")])


def _texts(path: str) -> Iterator[tuple[str, str]]:
    if path == "-":
        yield "standard input", sys.stdin.read()
        return
    place = Path(path)
    files = sorted(file for file in place.rglob("*") if file.suffix in _ENDINGS) if place.is_dir() else [place]
    if not files:
        raise invalid(path, f"holds no file that ends in {', '.join(_ENDINGS)}")
    for file in files:
        try:
            if file.stat().st_size > LARGEST_FILE:
                raise invalid(str(file), f"is larger than {LARGEST_FILE} bytes")
            yield str(file), file.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise invalid(str(file), f"cannot be read ({type(error).__name__})") from error
