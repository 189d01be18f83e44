"""The kit for plugin authors: the real bus on a wire in memory, no network, no server.

async with Harness(my_plugin, options={"greeting": "hello"}) as harness:
    client = await harness.connect()
    await client.send("hi")
    assert client.take() == ["hello"]
    await client.disconnect()
"""

from .client import HarnessClient
from .harness import Harness

__all__ = ["Harness", "HarnessClient"]
