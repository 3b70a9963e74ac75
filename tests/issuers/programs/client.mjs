// openid-client gets a token that is bound to a key and calls a tool with it, as often as it is told.
// Prints a line of JSON for each call.
import * as client from 'openid-client';

const { issuer, clientId, clientSecret, algorithm, resource, scope, calls, headers, body } = JSON.parse(
  process.env.CLIENT_PLAN,
);
const config = await client.discovery(
  new URL(issuer),
  clientId,
  undefined,
  client.ClientSecretBasic(clientSecret),
  { execute: [client.allowInsecureRequests], algorithm: 'oauth2' },
);
const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair(algorithm));
const { access_token: token, token_type: type } = await client.clientCredentialsGrant(
  config,
  { resource, scope },
  { DPoP },
);
for (let call = 0; call < calls; call += 1) {
  try {
    const response = await client.fetchProtectedResource(
      config,
      token,
      new URL(resource),
      'POST',
      body,
      new Headers(headers),
      { DPoP },
    );
    console.log(JSON.stringify({ type, status: response.status, answer: await response.json() }));
  } catch (fault) {
    if (!(fault instanceof client.WWWAuthenticateChallengeError)) throw fault;
    console.log(JSON.stringify({ type, status: fault.status, challenges: fault.cause }));
  }
}
