"""Processes, and the workers that run them as jobs. `README.md` at the root of this portion tells how to add one."""
