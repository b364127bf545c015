"""Files of the register's form without a real person."""
