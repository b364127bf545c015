"""What is asked for: job files, profiles, and the request that they come to."""
