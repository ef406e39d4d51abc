"""What the other tests of keys stand on: the form of a key, by numbers that were worked out elsewhere."""

import re

import keyfile


def test_base62_has_digits_then_capitals_then_small_letters():
    assert keyfile.base62(0, 3) == "000"
    assert [keyfile.base62(number, 1) for number in (9, 10, 35, 36, 61)] == list("9AZaz")
    assert keyfile.base62(62 * 62, 4) == "0100"


def test_256_bits_fit_into_43_digits_and_a_checksum_into_6():
    largest = keyfile.base62(2**256 - 1, 43)
    assert sum(keyfile.DIGITS.index(digit) * 62**place for place, digit in enumerate(reversed(largest))) == 2**256 - 1
    assert len(keyfile.base62(2**32 - 1, 6)) == 6


def test_the_checksum_is_that_of_the_standard():
    # CRC-32 of "123456789" is 0xCBF43926, the check value in every catalogue.
    assert keyfile.zlib.crc32(b"123456789") == 0xCBF43926
    digits = "0" * 43
    assert keyfile.seal(digits) == "infq_" + digits + keyfile.base62(keyfile.zlib.crc32(digits.encode()), 6)


def test_keys_have_the_form_and_differ():
    made = {keyfile.make_key() for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch(r"infq_[0-9A-Za-z]{49}", key) for key in made)


def test_a_file_is_toml_and_says_nothing_of_the_key(tmp_path):
    import tomllib

    ring = keyfile.Keyring(tmp_path / "keys.d", {"erp": {"max_pending": 3, "models": ["ocr"]}})
    old = ring["erp"]
    new = ring.rotate("erp", expires="2027-02-01T00:00:00Z")
    ring.write()
    [file] = (tmp_path / "keys.d").glob("*")
    found = tomllib.loads(file.read_text())["keys"]["erp"]
    assert [each["sha256"] for each in found["hashes"]] == [keyfile.digest(old), keyfile.digest(new)]
    assert found["hashes"][0]["expires"] == "2027-02-01T00:00:00Z" and found["max_pending"] == 3
    assert found["scopes"] == ["submit", "read", "cancel"] and found["models"] == ["ocr"]
    assert old[5:] not in file.read_text() and file.stat().st_mode & 0o777 == 0o640
    ring.revoke("erp")
    ring.write()
    assert not list((tmp_path / "keys.d").glob("*"))
