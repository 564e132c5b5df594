"""What `rubato demo-target` is made of."""

import structlog

from rubato.adapters.clock import SystemClock
from rubato.demo.target import DemoTarget
from rubato.serving import bind, serving
from worker.supervisor import signals

log = structlog.get_logger("rubato")


async def run_demo_target(port: int) -> None:
    """Serve the demo's target until a signal; its day begins now."""
    clock = SystemClock()
    async with signals() as taken, serving(DemoTarget(clock, clock.now()), bind("127.0.0.1", port, "--port")):
        log.info("the demo target is up", url=f"http://127.0.0.1:{port}/queue")
        await taken.stop.wait()
