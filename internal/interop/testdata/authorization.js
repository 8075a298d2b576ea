// An authorization server, by oidc-provider. It reads its clients and its TLS certificate from
// standard input, as JSON, prints its URL, and ends with its input.
const https = require("node:https");
const fs = require("node:fs");

process.removeAllListeners("warning");
process.on("warning", () => {});
console.warn = console.info = () => {};

let input = "";
process.stdin.on("data", (chunk) => {
  input += chunk;
  if (input.endsWith("\n")) start(JSON.parse(input));
});
process.stdin.on("end", () => process.exit(0));

async function start({ clients, certificate, key }) {
  const { default: Provider, errors } = await import(require.resolve("oidc-provider"));
  const server = https.createServer({ cert: certificate, key, requestCert: true, rejectUnauthorized: false });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `https://127.0.0.1:${server.address().port}`;
  const peer = (ctx) => ctx.socket.getPeerX509Certificate();
  const provider = new Provider(url, {
    clients: clients.map((c) => ({ redirect_uris: [], response_types: [], ...c })),
    clientAuthMethods: ["client_secret_basic", "private_key_jwt", "tls_client_auth", "none"],
    enabledJWA: { clientAuthSigningAlgValues: ["ES256", "EdDSA", "RS256"] },
    scopes: ["sessions"],
    ttl: { ClientCredentials: 600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      mTLS: {
        enabled: true,
        tlsClientAuth: true,
        getCertificate: peer,
        certificateAuthorized: (ctx) => Boolean(peer(ctx)),
        certificateSubjectMatches: (ctx, property, expected) => peer(ctx).subject === expected,
      },
    },
  });
  // RFC 8693, as far as a client sees it: a token of this server for another one.
  const exchange = async (ctx, next) => {
    const { ClientCredentials } = provider;
    const { subject_token: subject, subject_token_type: type } = ctx.oidc.params;
    const found = subject && (await ClientCredentials.find(subject));
    if (!found) throw new errors.InvalidGrant("subject token not found");
    if (type !== "urn:ietf:params:oauth:token-type:access_token") throw new errors.InvalidRequest("another type");
    const issued = new ClientCredentials({ client: ctx.oidc.client, scope: found.scope });
    ctx.oidc.entity("ClientCredentials", issued);
    ctx.body = { access_token: await issued.save(), issued_token_type: type, token_type: "Bearer", expires_in: issued.expiration };
    await next();
  };
  provider.registerGrantType("urn:ietf:params:oauth:grant-type:token-exchange", exchange, ["subject_token", "subject_token_type", "audience", "scope"]);
  server.on("request", provider.callback());
  fs.writeSync(1, url + "\n");
}
