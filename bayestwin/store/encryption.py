"""Encryption at rest of stored draws and exported reports: AES-256-GCM, key from a file outside the store.

Each file is sealed by itself under a fresh nonce and its own name, so that one cannot be put in the place of another.
The tables of the database are not sealed: encrypt its disk, or let PostgreSQL's host do so.

    BAYESTWIN_STORE_KEY_FILE=/path/to/key      32 random bytes in hexadecimal, as `openssl rand -hex 32` prints them
"""

import os
from pathlib import Path

from bayestwin.errors import StoreError

VARIABLE = "BAYESTWIN_STORE_KEY_FILE"
MAGIC = b"BTENC1\n"
CHECK_NAME = "bayestwin store key"


class Cipher:
    """Seals and opens bytes under one key."""

    def __init__(self, key: bytes):
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise StoreError(
                "encryption needs the library `cryptography`",
                place="store",
                next_step="Install it with `pip install 'bayestwin[crypto]'`.",
            ) from error
        self._aes = AESGCM(key)

    def seal(self, data: bytes, name: str) -> bytes:
        """Ciphertext that opens under this key and name only."""
        nonce = os.urandom(12)
        return MAGIC + nonce + self._aes.encrypt(nonce, data, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """The bytes that were sealed under this name; StoreError where key, name or bytes are others."""
        from cryptography.exceptions import InvalidTag

        start = len(MAGIC)
        try:
            if not sealed.startswith(MAGIC):
                raise InvalidTag
            return self._aes.decrypt(sealed[start : start + 12], sealed[start + 12 :], name.encode())
        except InvalidTag as error:
            raise StoreError(
                "this file cannot be opened with the key: another key, or the file has changed",
                place=name,
                next_step=f"Check {VARIABLE}; restore the file from a backup if the key is right.",
            ) from error

    def proof(self) -> str:
        """What a store keeps to tell a wrong key at once."""
        return self.seal(b"", CHECK_NAME).hex()

    def fits(self, proof: str) -> bool:
        """True where the proof was made under this key."""
        try:
            return self.open(bytes.fromhex(proof), CHECK_NAME) == b""
        except StoreError:
            return False


def cipher_from_environment() -> Cipher:
    """The cipher of the key file that the environment names.

    Raises
    ------
    StoreError      no variable, no such file, or no key in it
    """
    named = os.environ.get(VARIABLE)
    if not named:
        raise StoreError(
            "this store is encrypted and no key was given",
            place="store",
            allowed=f"{VARIABLE}, naming a file with 64 hexadecimal digits",
            next_step="Make a key once with `openssl rand -hex 32`, keep it outside the store and its backups.",
        )
    try:
        key = bytes.fromhex(Path(named).read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise StoreError(
            "the key file cannot be read", place=Path(named).name, allowed="64 hexadecimal digits"
        ) from error
    if len(key) != 32:
        raise StoreError("the key has the wrong length", place=Path(named).name, allowed="64 hexadecimal digits")
    return Cipher(key)
