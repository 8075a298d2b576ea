# Verifies and signs with Debian's python3-jwt; see peers_test.go.
import base64, json, sys
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

given = json.load(sys.stdin)

keys = {k.key_id: k.key for k in jwt.PyJWKSet.from_dict(given["jwks"]).keys}
subjects = []
for token in given["tokens"]:
    alg = jwt.get_unverified_header(token)["kid"]
    try:
        claims = jwt.decode(token, keys[alg], algorithms=[alg], issuer=given["issuer"], audience=given["audience"])
        subjects.append(claims["sub"])
    except jwt.InvalidTokenError:
        subjects.append("")


def b64(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def number(n, length):
    return b64(n.to_bytes(length, "big"))


def jwk(key):
    public = key.public_key()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        n = public.public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": number(n.x, 32), "y": number(n.y, 32)}
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    n = public.public_numbers()
    return {"kty": "RSA", "n": number(n.n, 256), "e": number(n.e, 3)}


jwks, signed = [], []
for alg, key in [
    ("ES256", ec.generate_private_key(ec.SECP256R1())),
    ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    ("RS256", rsa.generate_private_key(65537, 2048)),
]:
    jwks.append({**jwk(key), "kid": "python-" + alg, "alg": alg})
    signed.append(jwt.encode(given["claims"], key, algorithm=alg, headers={"kid": "python-" + alg}))
print(json.dumps({"subjects": subjects, "jwks": {"keys": jwks}, "signed": signed}))
