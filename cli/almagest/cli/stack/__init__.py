"""Everything on one machine: private PostgreSQL, Redis, the services and nginx under one supervisor.

``lifecycle`` is the story (`up`, `down`); ``programs`` says what runs and how it is ended; ``launch`` is what the
supervisor really starts, so that nothing outlives it; ``remnants`` finds what did anyway. Nothing here runs as root:
``privileges.step_down`` comes before everything else.
"""
