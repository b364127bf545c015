"""What a run came to, for people and programs: readers of a run's records. Nothing here asks the engine or decides anything."""
