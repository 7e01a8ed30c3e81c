"""pyaio beside stock asyncio and every other installed event loop: `python -m benchmarks`."""
