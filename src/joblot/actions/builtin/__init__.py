"""The actions that joblot brings, and what they share."""
