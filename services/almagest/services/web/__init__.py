"""What every service shares: problems, the public address, request ids and the server loop."""
