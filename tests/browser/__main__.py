"""`make screenshots`: every screen, light, dark and narrow, into a folder.

python -m tests.browser [--folder DIR] [--only NAME ...] [--hold]
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from rubato.adapters.postgres.embedded import EmbeddedPostgres
from tests.browser.browser import NARROW, WIDE
from tests.browser.house import SCREENS, House, opened

LOOKS = {"light": ("light", WIDE), "dark": ("dark", WIDE), "narrow": ("light", NARROW)}


async def shoot(house: House, folder: Path, names: list[str]) -> None:
    """Take the pictures, whole pages."""
    page = await house.signed_in.new_page()
    for name in names:
        await page.goto(house.address(SCREENS[name]))
        for look, (scheme, size) in LOOKS.items():
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of its words
            await page.set_viewport_size(size)  # type: ignore[arg-type]  # a mapping of both
            await page.screenshot(path=folder / f"{name}-{look}.png", full_page=True, animations="disabled")
    await page.close()


def main() -> None:
    """Serve the story and photograph it; `--hold` goes on serving, for looking at it oneself."""
    parser = argparse.ArgumentParser(prog="make screenshots", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("screenshots"))
    parser.add_argument("--only", nargs="*", choices=SCREENS, default=list(SCREENS))
    parser.add_argument("--hold", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rubato-browser-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        server = EmbeddedPostgres(folder / "pg", settings={"fsync": "off", "synchronous_commit": "off"})
        try:
            asyncio.run(_serve(server.start(), folder, options))
        finally:
            server.stop()


async def _serve(url: str, folder: Path, options: argparse.Namespace) -> None:
    async with opened(url, folder) as house:
        await shoot(house, options.folder, options.only)
        while options.hold:
            told = f"{house.service.url} Names or Enter: take the pictures again; Ctrl-C: end. "
            names = (await asyncio.to_thread(input, told)).split()
            await shoot(house, options.folder, names or options.only)


if __name__ == "__main__":
    main()
