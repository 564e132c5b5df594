"""Cron strings at the API: accepted, or refused by the name of their field."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.apis import face
from tests.unit.test_cron_fuzz import mutated


def test_posting_any_cron_is_201_or_a_400_that_names_its_field() -> None:
    with asyncio.Runner() as runner:
        house = face()
        api = runner.run(house.__aenter__())

        @settings(max_examples=settings.default.max_examples // 2)
        @given(cron=mutated() | st.text(max_size=300), zone=st.sampled_from(("UTC", "Europe/Paris")) | st.text())
        def post(cron: str, zone: str) -> None:
            body = {"name": "fuzzed", "url": "https://example.com/", "baselineCron": cron, "timezone": zone}
            answer = runner.run(api.call("POST", "/api/v1/jobs", body))
            assert answer.status_code in (201, 400), answer.text
            if answer.status_code == 201:
                assert answer.json()["nextRunAt"] is not None
            else:
                assert {error["pointer"] for error in answer.json()["errors"]} <= {"", "/baselineCron", "/timezone"}
                assert answer.headers["content-type"] == "application/problem+json"

        try:
            post()
        finally:
            runner.run(house.__aexit__(None, None, None))
