"""What Almagest adds to pgSTAC: SQL sets, their migrations, and one thin module per set."""
