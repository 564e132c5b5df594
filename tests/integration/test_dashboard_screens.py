"""The later screens over HTTP and PostgreSQL: who sees them, what they escape, and that forms do what they say."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from core.identity import Role
from core.ports.accounts import Principal
from tests.integration.served import Served, served

__all__: list[str] = []
