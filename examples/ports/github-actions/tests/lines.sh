#!/bin/sh
# Two lines are two.
test "$(python3 count.py lines tests/text.txt)" -eq 2
