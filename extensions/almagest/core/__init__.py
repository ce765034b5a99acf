"""The ground floor: settings, errors, hrefs and the database. No HTTP, no Celery, nothing heavy at import."""
