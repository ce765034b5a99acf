"""Who is it? Passwords, tokens, cookies, and how often one may ask."""
