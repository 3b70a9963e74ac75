// oidc-provider as an authorization server on loopback, told what to be by lines of JSON.
//
//   node provider.mjs            {"port": 0, "jwks": …, "clients": …, "resources": …}
//
// Each line on standard input takes the place of the one before; what it leaves out stays as it was.
// Connections are never refused meanwhile, and the port stays the same. Each line is answered by
// "READY <issuer>". The program ends with its standard input.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { createLocalJWKSet, jwtVerify } from 'jose';
import Provider, { errors } from 'oidc-provider';

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const PUBLIC_MEMBERS = ['kty', 'kid', 'use', 'alg', 'crv', 'x', 'y', 'n', 'e'];

const told = { port: 0, path: '', jwks: { keys: [] }, clients: [], resources: {}, exchanges: {}, clockAhead: 0 };

const now = Date.now;
Date.now = () => now() + told.clockAhead * 1000;

// What was issued before is remembered when the provider is made anew.
const kept = new Map();
class Adapter {
  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload) {
    kept.set(`${this.model}:${id}`, payload);
  }

  async find(id) {
    return kept.get(`${this.model}:${id}`);
  }

  async findByUid(uid) {
    return [...kept.values()].find((payload) => payload.uid === uid && payload.kind === this.model);
  }

  async consume(id) {
    kept.get(`${this.model}:${id}`).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    kept.delete(`${this.model}:${id}`);
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of kept) {
      if (payload.grantId === grantId) kept.delete(key);
    }
  }
}

function resourceServer(resource) {
  const { scope, format, algorithm } = told.resources[resource] ?? {};
  if (!scope) throw new errors.InvalidTarget('nobody knows this resource');
  return {
    scope,
    audience: resource,
    accessTokenFormat: format,
    accessTokenTTL: 300,
    jwt: { sign: { alg: algorithm } },
  };
}

function scopes() {
  return new Set(Object.values(told.resources).flatMap(({ scope }) => scope.split(' ')));
}

function createProvider(issuer) {
  const provider = new Provider(issuer, {
    adapter: Adapter,
    jwks: told.jwks,
    clients: told.clients,
    scopes: ['openid', 'offline_access', ...scopes()],
    clientDefaults: { id_token_signed_response_alg: told.jwks.keys[0].alg ?? 'EdDSA' },
    cookies: { keys: ['only for tests'] },
    pkce: { required: () => true },
    ttl: { ClientCredentials: 300, AccessToken: 300, Interaction: 300, Session: 300, Grant: 300 },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      dPoP: {
        enabled: true,
        nonceSecret: Buffer.alloc(32, 'only for tests'),
        requireNonce: () => Boolean(told.requireNonce),
      },
      introspection: { enabled: true, allowedPolicy: (_, client) => client.grantTypes.length === 0 },
      registration: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (_, resource) => resourceServer(resource),
        useGrantedResource: () => true,
      },
    },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  });
  provider.registerGrantType(
    TOKEN_EXCHANGE,
    (ctx) => exchange(provider, ctx),
    ['subject_token', 'subject_token_type', 'requested_token_type', 'resource', 'audience', 'scope'],
  );
  provider.use(keepToTheRegisteredWay);
  provider.on('server_error', (_, fault) => console.error(fault));
  return provider;
}

// oidc-provider takes a secret in the header or in the form, whichever of the two a client registered.
async function keepToTheRegisteredWay(ctx, next) {
  await next();
  const way = ctx.get('authorization') ? 'client_secret_basic' : 'client_secret_post';
  const registered = ctx.oidc?.client?.clientAuthMethod ?? 'none';
  if (registered !== 'none' && registered !== way) {
    ctx.status = 401;
    ctx.body = { error: 'invalid_client' };
  }
}

// RFC 8693 section 2: the subject's token for the client that asks becomes one for its upstream.
async function exchange(provider, ctx) {
  const { client, params } = ctx.oidc;
  const rule = told.exchanges[client.clientId];
  if (params.subject_token_type !== ACCESS_TOKEN) {
    throw new errors.InvalidRequest('subject_token_type is not an access token');
  }
  const target = params.resource ?? params.audience;
  if (target !== rule?.to) throw new errors.InvalidTarget('this client may not have tokens for it');
  const info = resourceServer(target);
  const granted = (params.scope ?? '').split(' ').filter((each) => info.scope.split(' ').includes(each));
  const token = new provider.AccessToken({
    accountId: await subjectOf(provider, params.subject_token, rule.from),
    client,
    gty: 'token_exchange',
    scope: granted.join(' '),
  });
  token.resourceServer = new provider.ResourceServer(target, info);
  ctx.oidc.entity('AccessToken', token);
  ctx.body = {
    access_token: await token.save(),
    issued_token_type: ACCESS_TOKEN,
    token_type: token.tokenType,
    expires_in: token.expiration,
    scope: token.scope,
  };
}

async function subjectOf(provider, token, audience) {
  const found = await provider.AccessToken.find(token);
  if (found?.isValid && found.aud === audience) return found.accountId;
  const keys = told.jwks.keys.map(publicPart);
  try {
    const { payload } = await jwtVerify(token, createLocalJWKSet({ keys }), {
      issuer: provider.issuer,
      audience,
      typ: 'at+jwt',
      currentDate: new Date(Date.now()),
    });
    return payload.sub;
  } catch {
    throw new errors.InvalidRequest('subject_token is not for the client that sent it');
  }
}

function publicPart(key) {
  return Object.fromEntries(PUBLIC_MEMBERS.filter((name) => name in key).map((name) => [name, key[name]]));
}

let answer;
const server = createServer((request, response) => {
  if (!request.url.startsWith(`${told.path}/`)) {
    response.writeHead(404).end();
    return;
  }
  request.originalUrl = request.url;
  request.url = request.url.slice(told.path.length);
  answer(request, response);
});
for await (const line of createInterface({ input: process.stdin })) {
  Object.assign(told, JSON.parse(line));
  if (!server.listening) {
    await new Promise((resolve, reject) => {
      server.once('error', reject).listen(told.port, '127.0.0.1', resolve);
    });
  }
  const issuer = `http://127.0.0.1:${server.address().port}${told.path}`;
  answer = createProvider(issuer).callback();
  console.log(`READY ${issuer}`);
}
server.close();
server.closeAllConnections();
