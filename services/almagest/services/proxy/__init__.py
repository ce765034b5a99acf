"""The one door: nginx's configuration, rendered from settings. nginx itself is a program of the supervisor."""
