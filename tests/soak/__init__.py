"""The crash suite: real processes, random faults, and a model of what must have come of it. See docs/dev/soak.md."""
