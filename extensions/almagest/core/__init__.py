"""The ground floor: settings, errors, secrets and hrefs. No HTTP, no Celery, nothing heavy at import."""
