"""Somebody in front of the server who ends TLS."""

import asyncio
import ssl
import tempfile
import threading
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def context():
    """With a certificate that nobody else has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1)).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with tempfile.NamedTemporaryFile() as file:
        file.write(secret + made.public_bytes(pem))
        file.flush()
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        found.load_cert_chain(file.name)
    return found


def tls_in_front(endpoint):
    """Hands on what comes, byte by byte; answers where it listens."""
    host, port = endpoint.removeprefix("http://").split(":")

    async def hand_on(reader, writer):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader, writer):
        behind = await asyncio.open_connection(host, int(port))
        await asyncio.gather(hand_on(reader, behind[1]), hand_on(behind[0], writer), return_exceptions=True)

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context()))
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
