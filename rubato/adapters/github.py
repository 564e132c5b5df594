"""Sign-in with GitHub: OAuth 2.0 with PKCE through Authlib. The access token is used for one profile and dropped."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.client import OAuth2Client

from core.errors import ConfigurationError, NotAllowed, Unavailable
from core.identity import Profile

TIMEOUT_S = 10.0  # for each of the two or three calls of a sign-in
MOST_ORGANISATIONS = 100  # of one page; who belongs to more is looked up by what the first page names
ANYBODY = "*"
_LOGIN = re.compile(r"[A-Za-z0-9_-]+")


class GitHub:
    """The provider port. `allow`: logins, `id:NUMBER`, `org:NAME`, or `*`; the rest is turned away.

    `url`: https://github.com, or that of an Enterprise server, whose API is found below /api/v3.
    """

    def __init__(self, client_id: str, client_secret: str, *, callback: str, url: str, allow: Sequence[str]) -> None:
        self._url = url.rstrip("/")
        self._api = "https://api.github.com" if urlsplit(url).hostname == "github.com" else f"{self._url}/api/v3"
        self._rules = frozenset(rule.lower() for rule in allow)
        self._asks_organisations = any(rule.startswith("org:") for rule in self._rules)
        self._client: dict[str, Any] = {
            "client_id": client_id,
            "client_secret": client_secret,
            "redirect_uri": callback,
            "scope": "read:user read:org" if self._asks_organisations else "read:user",
            "code_challenge_method": "S256",
        }
        if not self._rules:
            raise ConfigurationError(
                "GITHUB_CLIENT_ID is set, and RUBATO_GITHUB_ALLOW is not: nobody could sign in. Name logins, id:NUMBER "
                "or org:NAME, separated by commas, or * for everybody on GitHub."
            )

    def authorisation_url(self, state: str, verifier: str) -> str:
        """Return where to send the browser."""
        client = OAuth2Client(session=None, **self._client)
        url, _ = client.create_authorization_url(
            f"{self._url}/login/oauth/authorize", state=state, code_verifier=verifier
        )
        return str(url)

    async def profile(self, code: str, verifier: str) -> Profile:
        """Exchange a code for who the person is. Raises NotAllowed, Unavailable."""
        try:
            async with AsyncOAuth2Client(**self._client, timeout=TIMEOUT_S, trust_env=False) as client:
                await client.fetch_token(
                    f"{self._url}/login/oauth/access_token",
                    code=code,
                    code_verifier=verifier,
                    grant_type="authorization_code",
                )
                profile = await self._read(client)
        except OAuthError as error:
            raise NotAllowed("sign_in_refused", "GitHub did not accept this sign-in; begin again.") from error
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"GitHub could not be asked: {type(error).__name__}") from error
        if not self._is_allowed(profile):
            raise NotAllowed("not_on_the_list", "This GitHub account may not sign in here. Ask the operator.")
        return profile

    async def _read(self, client: Any) -> Profile:
        user = (await client.get(f"{self._api}/user")).raise_for_status().json()
        organisations: frozenset[str] = frozenset()
        if self._asks_organisations:
            where = f"{self._api}/user/orgs?per_page={MOST_ORGANISATIONS}"
            answer = (await client.get(where)).raise_for_status().json()
            organisations = frozenset(str(each["login"]).lower() for each in answer)
        number, name = user["id"], user.get("name")
        if not isinstance(number, int):
            raise TypeError("GitHub answered with an id that is no number")
        return Profile(
            "github", str(number), str(user["login"])[:100], str(name)[:255] if name else None, organisations
        )

    def _is_allowed(self, profile: Profile) -> bool:
        named = {ANYBODY, f"id:{profile.subject}"}
        if _LOGIN.fullmatch(profile.login):  # so that no name can read as another kind of rule
            named.add(profile.login.lower())
        return not self._rules.isdisjoint(named | {f"org:{each}" for each in profile.organisations})
