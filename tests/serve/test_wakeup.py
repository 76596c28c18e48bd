"""The pause of a background loop."""

import asyncio

from serve.pipelines.wakeup import Wakeup
from tests.patience import PATIENCE_S


async def test_it_ends_when_set_or_after_its_time() -> None:
    wakeup = Wakeup()

    wakeup.set()
    await asyncio.wait_for(wakeup.wait(3600), PATIENCE_S)
    await asyncio.wait_for(wakeup.wait(0.01), PATIENCE_S)


async def test_a_cancellation_right_after_it_was_set_stops_the_loop() -> None:
    wakeup = Wakeup()

    async def loop() -> None:
        while True:
            await wakeup.wait(0.5)

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)  # it waits now

    wakeup.set()
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=PATIENCE_S)

    assert done == {task}
