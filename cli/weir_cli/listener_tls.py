"""TLS on what this process listens on."""

from __future__ import annotations

import ssl

from weir_core.errors import SettingsError
from weir_core.settings import Settings


def listener_tls(settings: Settings) -> ssl.SSLContext | None:
    """What TCP listeners speak TLS with, 1.2 or newer; None where they speak plain HTTP.

    Blocks: reads the files.

    Raises:
        SettingsError: A file cannot be used.
    """
    certificate, key = settings.tls_certificate_file, settings.tls_key_file
    if certificate is None:
        if key is not None:
            raise SettingsError("tls_key_file (WEIR_TLS_KEY_FILE) needs a tls_certificate_file beside it")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # A key with a passphrase is refused: there is nobody to ask.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        files = certificate if key is None else f"{certificate} and {key}"
        raise SettingsError(
            f"tls_certificate_file (WEIR_TLS_CERTIFICATE_FILE): {files} cannot be used: {error}; give PEM "
            "files of a certificate and of its key, which has no passphrase"
        ) from error
    return context
