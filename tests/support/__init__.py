"""What the tests stand on: a real cluster, databases cloned from templates, real data where it is there."""
