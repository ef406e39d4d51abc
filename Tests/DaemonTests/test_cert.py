"""inferq cert: an authority and a certificate made with openssl, and that gateway, curl and inferq take them."""

import datetime
import os
import pathlib
import shutil
import stat
import subprocess

import pytest

import wire
from certificates import Authority, openssl
from gateway import BINARY, environment
from ports import free_port
from waiting import until


def inferq(*arguments, **extra):
    return subprocess.run(
        [BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60, env=environment(**extra))


def made(folder, *arguments):
    done = inferq("cert", "init", "--out", folder, *arguments)
    assert done.returncode == 0, done.stderr
    return done


def names(file):
    return openssl("x509", "-in", file, "-noout", "-ext", "subjectAltName").splitlines()[1].strip()


def days(file):
    line = openssl("x509", "-in", file, "-noout", "-enddate").strip().partition("=")[2]
    end = datetime.datetime.strptime(line, "%b %d %H:%M:%S %Y %Z")
    return (end - datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)).total_seconds() / 86400


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "tls"


@pytest.fixture
def site(make_gateway, folder):
    """A gateway with what `init` has made."""
    done = made(folder, "--name", "localhost", "--address", "127.0.0.1")
    each = make_gateway({"ocr": {}}, started=False)
    each.tls_port = free_port()
    each.settings |= {
        "listen": [f"127.0.0.1:{each.port}", f"tls://127.0.0.1:{each.tls_port}"],
        "tls": {"certificate": str(folder / "cert.pem"), "key": str(folder / "key.pem")},
    }
    assert done.stdout == f'[tls]\ncertificate = "{folder}/cert.pem"\nkey = "{folder}/key.pem"\n'
    return each.start()


def test_init_makes_a_pair_that_curl_and_inferq_trust_with_the_authority(site, folder):
    for host in ("localhost", "127.0.0.1"):
        url = f"https://{host}:{site.tls_port}"
        done = subprocess.run(["curl", "-sS", "--cacert", folder / "ca.pem", url + "/livez"], capture_output=True, timeout=60)
        assert b'"UP"' in done.stdout, done.stderr
        done = inferq("models", "--url", url, "--ca", folder / "ca.pem")
        assert done.returncode == 0 and "ocr" in done.stdout, done.stderr
    done = inferq("models", "--url", url)
    assert done.returncode == 69 and "its certificate is not trusted here" in done.stderr and "--ca" in done.stderr


@pytest.mark.parametrize("text, sentence", [
    (None, "there is no such file"), ("nonsense", "the file holds no certificate in PEM"),
])
def test_a_ca_that_is_none_is_a_sentence(tmp_path, text, sentence):
    if text:
        (tmp_path / "ca.pem").write_text(text)
    done = inferq("models", "--url", "https://localhost:1", "--ca", tmp_path / "ca.pem")
    assert done.returncode == 64 and sentence in done.stderr and "--ca" in done.stderr


def test_the_files_are_what_the_documentation_says(folder):
    done = made(folder, "--name", "box.lan", "--name", "*.box.lan", "--address", "192.168.1.5", "--address", "fd00::5")
    assert sorted(os.listdir(folder)) == ["ca.key", "ca.pem", "cert.pem", "key.pem"]
    assert mode(folder / "ca.key") == 0o600
    assert mode(folder / "key.pem") in (0o600, 0o640)
    assert mode(folder / "ca.pem") == mode(folder / "cert.pem") == 0o644
    assert names(folder / "cert.pem") == (
        "DNS:box.lan, DNS:*.box.lan, IP Address:192.168.1.5, IP Address:FD00:0:0:0:0:0:0:5")
    assert 824 < days(folder / "cert.pem") <= 825
    assert 3649 < days(folder / "ca.pem") <= 3650
    text = openssl("x509", "-in", folder / "cert.pem", "-noout", "-text")
    for expected in ("CA:FALSE", "TLS Web Server Authentication", "Digital Signature", "id-ecPublicKey"):
        assert expected in text
    assert "CA:TRUE, pathlen:0" in openssl("x509", "-in", folder / "ca.pem", "-noout", "-text")
    openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", folder / "ca.pem", folder / "cert.pem")
    assert "ca.key" in done.stderr and "--cacert" in done.stderr
    # A name that is not listed is 421, so the lines for the configuration list it; wildcards cannot be.
    assert done.stdout.splitlines()[0] == 'hosts = ["box.lan"]'


def test_init_again_keeps_the_authority_and_takes_the_new_names(folder):
    made(folder, "--name", "box.lan")
    authority, key = (folder / "ca.pem").read_bytes(), (folder / "ca.key").read_bytes()
    made(folder, "--name", "other.lan")
    assert ((folder / "ca.pem").read_bytes(), (folder / "ca.key").read_bytes()) == (authority, key)
    assert names(folder / "cert.pem") == "DNS:other.lan"
    openssl("verify", "-CAfile", folder / "ca.pem", folder / "cert.pem")


def test_a_pair_of_somebody_else_is_not_written_over(folder, tmp_path):
    pair = Authority(tmp_path / "authority").sign()
    folder.mkdir()
    shutil.copy(pair.certificate, folder / "cert.pem")
    done = inferq("cert", "init", "--out", folder, "--name", "box.lan")
    assert done.returncode == 64 and "cert.pem already exists" in done.stderr
    assert (folder / "cert.pem").read_bytes() == pair.certificate.read_bytes()
    assert os.listdir(folder) == ["cert.pem"]


@pytest.mark.parametrize("arguments, sentence", [
    ([], "a certificate needs a name"),
    (["--name", "192.168.1.5"], "name an address with --address"),
    (["--name", "a b"], "is not a host name"),
    (["--name", "x\nsubjectAltName=DNS:y"], "is not a host name"),
    (["--name", "x,DNS:y"], "is not a host name"),
    (["--address", "box.lan"], "is not an IP address"),
    (["--name", "box.lan", "--out", "tls"], "not the absolute path"),
    (["--name", "box.lan", "--out", "/nowhere/at/all"], "there is no folder /nowhere/at; create it"),
])
def test_wrong_usage_is_a_sentence_and_makes_nothing(folder, arguments, sentence):
    done = inferq("cert", "init", "--out", folder, *arguments)
    assert done.returncode in (64, 73) and sentence in done.stderr, done.stderr
    assert not folder.exists() or not os.listdir(folder)


def test_without_openssl_it_says_so(folder):
    done = inferq("cert", "init", "--out", folder, "--name", "box.lan", PATH="/nowhere")
    assert done.returncode == 71 and "openssl, which makes the certificates, is not installed" in done.stderr
    assert os.listdir(folder) == []


def test_renew_gives_the_gateway_a_new_certificate_at_once(site, folder):
    secure = wire.Secure(("127.0.0.1", site.tls_port), Authority.trusting(folder / "ca.pem"))

    def serial():
        with wire.dial(secure) as sock:
            return sock.getpeercert()["serialNumber"]

    first, key = serial(), (folder / "key.pem").read_bytes()
    before = names(folder / "cert.pem")
    done = inferq("cert", "renew", "--config", site.config_file)
    assert done.returncode == 0 and f"(process {site.process.pid}) was asked to read its certificate" in done.stderr, done.stderr
    until(lambda: serial() != first, "the new certificate")
    assert names(folder / "cert.pem") == before
    assert (folder / "key.pem").read_bytes() != key
    assert sorted(os.listdir(folder)) == ["ca.key", "ca.pem", "cert.pem", "key.pem"]


def test_renew_needs_the_authority(folder, tmp_path):
    config = tmp_path / "inferq.toml"
    config.write_text(f'[store]\npath = "{tmp_path}/inferq.db"\n')
    done = inferq("cert", "renew", "--out", folder, "--config", config)
    assert done.returncode == 64 and "inferq cert init" in done.stderr
    made(folder, "--name", "box.lan")
    done = inferq("cert", "renew", "--out", folder, "--config", config)
    assert done.returncode == 0 and "no gateway runs" in done.stderr, done.stderr
    (folder / "ca.key").unlink()
    done = inferq("cert", "renew", "--out", folder, "--config", config)
    assert done.returncode == 64 and "no authority to sign with" in done.stderr


def config_of(folder, pair, **tables):
    config = folder / "inferq.toml"
    config.write_text(
        f'[store]\npath = "{folder}/inferq.db"\n[tls]\ncertificate = "{pair[0]}"\nkey = "{pair[1]}"\n')
    return config


def test_show_tells_names_issuer_and_days(folder, tmp_path):
    made(folder, "--name", "box.lan", "--address", "192.168.1.5")
    config = config_of(tmp_path, (folder / "cert.pem", folder / "key.pem"))
    done = inferq("cert", "show", "--config", config)
    assert done.returncode == 0, done.stderr
    for expected in ("names   box.lan, 192.168.1.5", "issuer  inferq authority of ", ", 824 days left", "key     matches it"):
        assert expected in done.stdout, done.stdout


def test_show_says_what_is_wrong(tmp_path):
    authority = Authority(tmp_path / "authority")
    ended, other = authority.sign(days=-1), authority.sign()
    done = inferq("cert", "show", "--config", config_of(tmp_path, (ended.certificate, ended.key)))
    assert done.returncode == 1 and ", expired" in done.stdout and "expired on" in done.stderr
    done = inferq("cert", "show", "--config", config_of(tmp_path, (other.certificate, ended.key)))
    assert done.returncode == 1 and "does not match the certificate" in done.stderr
    done = inferq("cert", "show", "--config", config_of(tmp_path, ("/nowhere/x.pem", ended.key)))
    assert done.returncode == 64 and "there is no such file" in done.stderr
    (tmp_path / "inferq.toml").write_text(f'[store]\npath = "{tmp_path}/inferq.db"\n')
    done = inferq("cert", "show", "--config", tmp_path / "inferq.toml")
    assert done.returncode == 64 and "no certificate is configured" in done.stderr


@pytest.mark.parametrize("days, verdict, text", [
    (100, "ok", "in 99 days"), (20, "note", "renew it"), (-1, "wrong", "the TLS certificate expired on"),
])
def test_the_doctor_looks_at_the_end_of_the_certificate(tmp_path, days, verdict, text):
    pair = Authority(tmp_path / "authority").sign(days=days)
    done = inferq("doctor", "--config", config_of(tmp_path, (pair.certificate, pair.key)))
    line = next(line for line in done.stdout.splitlines() if " certificate: " in line or "certificate:" in line)
    assert line.startswith(verdict) and text in line, done.stdout


def test_the_doctor_says_which_names_are_answered_421(tmp_path):
    pair = Authority(tmp_path / "authority").sign("/CN=box.lan", "DNS:Box.lan,DNS:localhost,DNS:*.lan,DNS:other.lan,IP:127.0.0.1")
    config = config_of(tmp_path, (pair.certificate, pair.key))
    assert "requests to box.lan, other.lan are answered 421" in inferq("doctor", "--config", config).stdout
    config.write_text('hosts = ["box.lan", "other.lan"]\n' + config.read_text())
    assert "421" not in inferq("doctor", "--config", config).stdout


def test_the_doctor_says_that_others_may_read_the_key(tmp_path):
    pair = Authority(tmp_path / "authority").sign()
    pathlib.Path(pair.key).chmod(0o644)
    done = inferq("doctor", "--config", config_of(tmp_path, (pair.certificate, pair.key)))
    assert f"others may read {pair.key}; chmod o= it" in done.stdout and done.returncode == 1
