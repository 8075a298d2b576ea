// Verifies and signs with the npm library jose; see peers_test.go.
const jose = require("jose");

async function main() {
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  const input = JSON.parse(text);

  const keys = jose.createLocalJWKSet(input.jwks);
  const subjects = [];
  for (const token of input.tokens) {
    try {
      const { payload } = await jose.jwtVerify(token, keys, { issuer: input.issuer, audience: input.audience });
      subjects.push(payload.sub);
    } catch (error) {
      subjects.push("");
    }
  }

  const jwks = { keys: [] };
  const signed = [];
  for (const alg of ["ES256", "EdDSA", "RS256"]) {
    const { publicKey, privateKey } = await jose.generateKeyPair(alg);
    jwks.keys.push({ ...(await jose.exportJWK(publicKey)), kid: "node-" + alg, use: "sig", alg });
    signed.push(await new jose.SignJWT(input.claims).setProtectedHeader({ alg, kid: "node-" + alg }).sign(privateKey));
  }
  console.log(JSON.stringify({ subjects, jwks, signed }));
}

main();
