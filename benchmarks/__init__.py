"""Benchmarks: `cost` per document, and `growth` with the history. README.md has the commands."""
