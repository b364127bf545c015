"""What drives one run: puts the parts together, carries out what the core decides, takes them apart again."""
