"""What the register says: codes, columns, identifiers, and who may be shown."""
