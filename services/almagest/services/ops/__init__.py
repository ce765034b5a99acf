"""Looks after the others: whose a key is and what it may, who is well, and how much of what."""
