"""A dataset as files, each whole or absent."""
