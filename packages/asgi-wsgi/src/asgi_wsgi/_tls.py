"""The ASGI TLS extension, under the names that mod_ssl gave to the same facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSIONS = {0x0300: "SSLv3", 0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}

# IANA's TLS Cipher Suites registry, by the names OpenSSL reports; others are given as their number in
# hexadecimal.
_CIPHERS = {
    0x1301: "TLS_AES_128_GCM_SHA256",
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0xC02B: "ECDHE-ECDSA-AES128-GCM-SHA256",
    0xC02C: "ECDHE-ECDSA-AES256-GCM-SHA384",
    0xC02F: "ECDHE-RSA-AES128-GCM-SHA256",
    0xC030: "ECDHE-RSA-AES256-GCM-SHA384",
    0xCCA8: "ECDHE-RSA-CHACHA20-POLY1305",
    0xCCA9: "ECDHE-ECDSA-CHACHA20-POLY1305",
}


def add_tls(environ: dict[str, Any], tls: Mapping[str, Any]) -> None:
    """Put what the server says about the connection's TLS into environ (ASGI TLS extension 0.2).

    The keys are SSL_PROTOCOL, SSL_CIPHER, SSL_SERVER_CERT, SSL_CLIENT_CERT, SSL_CLIENT_CERT_CHAIN_0 and on,
    SSL_CLIENT_S_DN and SSL_CLIENT_VERIFY (NONE, SUCCESS or FAILED:reason).
    """
    version = tls.get("tls_version")
    if version is not None:
        environ["SSL_PROTOCOL"] = _VERSIONS.get(version, f"0x{version:04x}")
    cipher = tls.get("cipher_suite")
    if cipher is not None:
        environ["SSL_CIPHER"] = _CIPHERS.get(cipher, f"0x{cipher:04x}")
    if tls.get("server_cert"):
        environ["SSL_SERVER_CERT"] = tls["server_cert"]
    chain = list(tls.get("client_cert_chain") or ())
    if chain:
        environ["SSL_CLIENT_CERT"] = chain[0]
        for index, certificate in enumerate(chain[1:]):
            environ[f"SSL_CLIENT_CERT_CHAIN_{index}"] = certificate
    if tls.get("client_cert_name"):
        environ["SSL_CLIENT_S_DN"] = tls["client_cert_name"]
    error = tls.get("client_cert_error")
    if error:
        environ["SSL_CLIENT_VERIFY"] = f"FAILED:{error}"
    else:
        environ["SSL_CLIENT_VERIFY"] = "SUCCESS" if chain else "NONE"
