"""Pages for people: log in, run processes, watch jobs, keep keys; and for admins, look after everybody."""
