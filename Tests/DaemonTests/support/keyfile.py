"""Keys of clients and the files of `keys.d`, made here from their published form and not by the program."""

import datetime
import hashlib
import json
import pathlib
import secrets
import zlib

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
EVERYTHING = ["*"]
USUAL = ["submit", "read", "cancel"]
SCOPES = ["submit", "read", "cancel", "read:all", "operate", "metrics"]  # those that can be had one by one


def base62(number, width):
    """Most significant digit first, with zeros in front."""
    found = ""
    for _ in range(width):
        number, digit = divmod(number, 62)
        found = DIGITS[digit] + found
    assert number == 0, f"more than {width} digits"
    return found


def seal(digits):
    """A key of these 43 digits."""
    return "infq_" + digits + base62(zlib.crc32(digits.encode()), 6)


def make_key():
    return seal(base62(int.from_bytes(secrets.token_bytes(32)), 43))


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()


def key_id(key):
    return digest(key)[:8]


def from_now(seconds):
    """A moment as key files have it: in UTC, with milliseconds."""
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def hash_of(key, expires=None):
    return {"id": key_id(key), "sha256": digest(key)} | ({"expires": expires} if expires else {})


def _value(it):
    if isinstance(it, dict):
        return "{ " + ", ".join(f"{name} = {_value(each)}" for name, each in it.items()) + " }"
    if isinstance(it, list):
        return "[" + ", ".join(map(_value, it)) + "]"
    return json.dumps(it)


def table(name, settings):
    """One client's table, as it stands in a file."""
    return f"[keys.{json.dumps(name)}]\n" + "".join(f"{key} = {_value(it)}\n" for key, it in settings.items())


def write_keys(folder, clients):
    """Makes a folder of key files hold these clients and no others, one file for each: name -> its table."""
    folder = pathlib.Path(folder)
    folder.mkdir(mode=0o750, exist_ok=True)
    for file in folder.glob("*.toml"):
        if file.stem not in clients:
            file.unlink()
    for name, settings in clients.items():
        file = folder / f"{name}.toml"
        new = folder / f".{name}.new"  # a reload by somebody else never reads half a file
        new.write_text(table(name, settings))
        new.chmod(0o640)
        new.rename(file)


class Keyring:
    """The folder of key files of one gateway, and the newest key of each client. `write` puts changes there."""

    def __init__(self, folder, clients):
        self.folder = pathlib.Path(folder)
        self.tables = {}
        self._newest = {}
        for name, settings in clients.items():
            self.add(name, **settings)
        self.write()

    def __getitem__(self, name):
        return self._newest[name]

    def add(self, name, scopes=USUAL, expires=None, **limits):
        """A client with one key, which is the result."""
        self._newest[name] = make_key()
        self.tables[name] = {"hashes": [hash_of(self._newest[name], expires)], "scopes": scopes} | limits
        return self._newest[name]

    def rotate(self, name, expires=None):
        """One more key of a client; the one of before holds until `expires`."""
        old = self.tables[name]["hashes"][-1]
        if expires:
            old["expires"] = expires
        self._newest[name] = make_key()
        self.tables[name]["hashes"].append(hash_of(self._newest[name]))
        return self._newest[name]

    def revoke(self, name, key=None):
        """Takes one key from a client, or the client away."""
        if key is None:
            del self.tables[name]
            return
        hashes = self.tables[name]["hashes"]
        hashes[:] = [each for each in hashes if each["id"] != key_id(key)]

    def write(self):
        write_keys(self.folder, self.tables)
