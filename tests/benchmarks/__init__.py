"""What claude_magic costs, each figure beside a named baseline of the same run: `python -m benchmarks`."""
