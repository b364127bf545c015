"""BLAKE2b, without loading OpenSSL: `hashlib` takes 3 ms of CPU to find implementations that nobody here asks for."""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:  # an interpreter that builds it elsewhere
    from hashlib import blake2b

__all__ = ["blake2b"]
