#!/bin/sh
# Three and three words are six.
test "$(python3 count.py words tests/text.txt)" -eq 6
