"""Certificates for tests, made with openssl: an authority, and what it has signed."""

import datetime
import itertools
import pathlib
import ssl
import subprocess
from dataclasses import dataclass

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def openssl(*arguments, **options):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, timeout=60, **options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@dataclass
class Pair:
    certificate: pathlib.Path
    key: pathlib.Path

    @property
    def serial(self):
        return int(openssl("x509", "-in", self.certificate, "-noout", "-serial").strip().partition("=")[2], 16)


class Authority:
    """Signs certificates; its own is what clients trust."""

    def __init__(self, folder, name="test authority"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.pem, self._key = self.folder / "ca.pem", self.folder / "ca.key"
        self._numbers = itertools.count(1)
        openssl(
            "req", "-x509", *CURVE, "-subj", f"/CN={name}", "-days", 30, "-keyout", self._key, "-out", self.pem,
            "-addext", "keyUsage=critical,keyCertSign",
        )

    def sign(self, subject="/CN=localhost", names="DNS:localhost,IP:127.0.0.1", days=30, usage="serverAuth", key=None):
        """A pair of its own. `days` before 0: one that has ended."""
        number = next(self._numbers)
        pair = Pair(self.folder / f"{number}.pem", self.folder / f"{number}.key")
        request, extensions = self.folder / f"{number}.csr", self.folder / f"{number}.ext"
        kind = CURVE if key is None else ["-newkey", key, "-nodes"]
        openssl("req", "-new", *kind, "-subj", subject, "-keyout", pair.key, "-out", request)
        lines = ["basicConstraints=CA:FALSE", f"extendedKeyUsage={usage}"]
        extensions.write_text("\n".join(lines + [f"subjectAltName={names}"] * bool(names)) + "\n")
        begin = ["x509", "-req", "-in", request, "-CA", self.pem, "-CAkey", self._key, "-extfile", extensions]
        if days > 0:
            openssl(*begin, "-set_serial", 1000 + number, "-days", days, "-out", pair.certificate)
        else:
            # `x509` of OpenSSL 3.0 knows no end in the past.
            now = datetime.datetime.now(datetime.timezone.utc)
            times = [(now + datetime.timedelta(days=each)).strftime("%Y%m%d%H%M%SZ") for each in (days - 1, days)]
            (self.folder / "index.txt").write_text("")
            (self.folder / "serial").write_text(f"{1000 + number:04X}\n")
            configuration = self.folder / "ca.cnf"
            configuration.write_text(
                f"[ca]\ndefault_ca=a\n[a]\ndatabase={self.folder}/index.txt\nserial={self.folder}/serial\n"
                f"new_certs_dir={self.folder}\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=optional\n"
            )
            openssl(
                "ca", "-batch", "-notext", "-config", configuration, "-cert", self.pem, "-keyfile", self._key, "-in",
                request, "-out", pair.certificate, "-extfile", extensions, "-startdate", times[0], "-enddate", times[1],
            )
        return pair

    def client(self, pair=None, **options):
        """What a client needs that trusts this authority alone, and shows `pair` if it is asked."""
        context = self.trusting(self.pem)
        if pair:
            context.load_cert_chain(pair.certificate, pair.key)
        for name, value in options.items():
            setattr(context, name, value)
        return context

    @staticmethod
    def trusting(pem):
        """What a client needs that trusts this file alone."""
        return ssl.create_default_context(cafile=pem)
