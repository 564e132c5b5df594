"""The document as the code makes it."""

import json
from types import SimpleNamespace
from typing import Any, cast

from api.app import create_app
from tests.processes import ROOT

COMMITTED = ROOT / "docs" / "openapi.json"


def made() -> dict[str, Any]:
    """Return the document; an app that only describes itself needs no services."""
    nothing = SimpleNamespace(local_owner=None, cors_origins=(), observe=None)
    return create_app(cast("Any", nothing)).openapi()


def written(document: dict[str, Any]) -> str:
    """Return it as it is committed."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
