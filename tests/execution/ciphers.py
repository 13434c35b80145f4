"""Ciphers to test with: quick, repeatable, and no good for anything else."""

from __future__ import annotations


class Toy:
    """Turns every bit around."""

    def encrypt(self, plain: bytes) -> bytes:
        return bytes(byte ^ 0xFF for byte in plain)

    def decrypt(self, sealed: bytes) -> bytes:
        return self.encrypt(sealed)


class Plain:
    """Does nothing."""

    def encrypt(self, plain: bytes) -> bytes:
        return plain

    def decrypt(self, sealed: bytes) -> bytes:
        return sealed
